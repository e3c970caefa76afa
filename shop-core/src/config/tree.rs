//! The merged layers: values with their origins.

use std::collections::BTreeMap;

use serde_json::Value;

use super::origin::Origin;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    /// A step as it is written.
    pub(super) fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Key(text.to_owned()), Self::Index)
    }
}

/// `orders.store`, `routes.0.path`
pub(super) fn show(path: &[Step]) -> String {
    let steps: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        })
        .collect();
    steps.join(".")
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Scalar(Value),
    /// An element of a list that was found faulty: read over, so that its neighbours keep their numbers.
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    /// The text that a variable really held, in case that the field turns out to be a string: `007`.
    pub(super) text: Option<String>,
    /// Whether it came by way of a reference to a secret.
    pub(super) secret: bool,
}

impl Node {
    pub(super) fn new(kind: Kind, origin: Origin) -> Self {
        Self { kind, origin, text: None, secret: false }
    }

    pub(super) fn table(origin: Origin) -> Self {
        Self::new(Kind::Table(BTreeMap::new()), origin)
    }

    /// A JSON value with one origin throughout.
    pub(super) fn from_json(value: Value, origin: &Origin) -> Self {
        let kind = match value {
            Value::Object(object) => {
                Kind::Table(object.into_iter().map(|(k, v)| (k, Self::from_json(v, origin))).collect())
            }
            Value::Array(items) => {
                Kind::List(items.into_iter().map(|v| Self::from_json(v, origin)).collect())
            }
            scalar => Kind::Scalar(scalar),
        };
        Self::new(kind, origin.clone())
    }

    /// Puts a higher layer over this one.
    pub(super) fn merge(&mut self, over: Self) {
        match (&mut self.kind, over.kind) {
            (Kind::Table(own), Kind::Table(theirs)) => {
                if self.origin == Origin::Default {
                    self.origin = over.origin;
                }
                for (key, node) in theirs {
                    match own.get_mut(&key) {
                        Some(known) => known.merge(node),
                        None => {
                            own.insert(key, node);
                        }
                    }
                }
            }
            (_, kind) => *self = Self { kind, ..over },
        }
    }

    /// Puts a node at a path of keys; what is no table on the way becomes one.
    pub(super) fn put(&mut self, path: &[&str], node: Self) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let mut nested = node;
        let origin = nested.origin.clone();
        for key in std::iter::once(last).chain(parents.iter().rev()) {
            let mut table = BTreeMap::new();
            table.insert((*key).to_owned(), nested);
            nested = Self::new(Kind::Table(table), origin.clone());
        }
        self.merge(nested);
    }

    pub(super) fn get(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| match (&node.kind, step) {
            (Kind::Table(table), Step::Key(key)) => table.get(key),
            (Kind::List(items), Step::Index(index)) => items.get(*index),
            _ => None,
        })
    }

    pub(super) fn get_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, step| match (&mut node.kind, step) {
            (Kind::Table(table), Step::Key(key)) => table.get_mut(key),
            (Kind::List(items), Step::Index(index)) => items.get_mut(*index),
            _ => None,
        })
    }

    /// The origin of what is at a path, or of what is nearest above it.
    pub(super) fn origin_of(&self, path: &[Step]) -> Origin {
        (0..=path.len())
            .rev()
            .find_map(|length| self.get(&path[..length]))
            .map_or(Origin::Default, |node| node.origin.clone())
    }

    /// Takes away what is at a path; says whether there was anything.
    pub(super) fn remove(&mut self, path: &[Step]) -> bool {
        let Some((last, parents)) = path.split_last() else {
            return false;
        };
        match (self.get_mut(parents).map(|node| &mut node.kind), last) {
            (Some(Kind::Table(table)), Step::Key(key)) => table.remove(key).is_some(),
            (Some(Kind::List(items)), Step::Index(index)) => match items.get_mut(*index) {
                Some(Self { kind: Kind::Gone, .. }) | None => false,
                Some(item) => {
                    item.kind = Kind::Gone;
                    true
                }
            },
            _ => false,
        }
    }

    /// Visits every scalar.
    pub(super) fn for_each_scalar(
        &mut self,
        path: &mut Vec<Step>,
        visit: &mut impl FnMut(&[Step], &mut Self),
    ) {
        match &mut self.kind {
            Kind::Table(table) => {
                for (key, node) in table {
                    path.push(Step::Key(key.clone()));
                    node.for_each_scalar(path, visit);
                    path.pop();
                }
            }
            Kind::List(items) => {
                for (index, node) in items.iter_mut().enumerate() {
                    path.push(Step::Index(index));
                    node.for_each_scalar(path, visit);
                    path.pop();
                }
            }
            Kind::Scalar(_) => visit(path, self),
            Kind::Gone => {}
        }
    }
}
