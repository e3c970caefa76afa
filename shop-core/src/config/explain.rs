//! The values in effect, for an operator to look at.

use std::fmt;

use serde_json::Value;

use super::origin::Origin;
use super::secret::{REDACTED, redact_url};
use super::tree::{Node, Step, show};

/// One value in effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The key, `orders.store`.
    pub path: String,
    /// The value, or `***`.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// Every value in effect. Shown as one line each, `orders.store = "memory:"  # default`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation(pub Vec<Explained>);

impl Explanation {
    pub(super) fn of(value: &Value, tree: &Node) -> Self {
        let mut found = Vec::new();
        collect(value, tree, &mut Vec::new(), &mut found);
        Self(found)
    }
}

fn collect(value: &Value, tree: &Node, path: &mut Vec<Step>, found: &mut Vec<Explained>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                path.push(Step::Key(key.clone()));
                collect(value, tree, path, found);
                path.pop();
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, value) in items.iter().enumerate() {
                path.push(Step::Index(index));
                collect(value, tree, path, found);
                path.pop();
            }
        }
        value => {
            let node = tree.get(path);
            let origin = node.map_or(Origin::Default, |node| node.origin.clone());
            let value =
                if node.is_some_and(|node| node.secret) { REDACTED.into() } else { redact(value, node) };
            found.push(Explained { path: show(path), value, origin });
        }
    }
}

fn redact(value: &Value, node: Option<&Node>) -> Value {
    match value {
        Value::String(text) => redact_url(text).map_or_else(|| value.clone(), Value::String),
        Value::Array(items) => {
            let element = |index| node.and_then(|node| node.get(&[Step::Index(index)]));
            let redacted = items.iter().enumerate().map(|(index, item)| match element(index) {
                Some(node) if node.secret => REDACTED.into(),
                node => redact(item, node),
            });
            Value::Array(redacted.collect())
        }
        other => other.clone(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Explained { path, value, origin } in &self.0 {
            writeln!(f, "{path} = {value}  # {origin}")?;
        }
        Ok(())
    }
}
