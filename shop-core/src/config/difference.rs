use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::explain::Explained;
use super::loader::Loaded;
use super::origin::Origin;
use super::secret::REDACTED;
use super::tree::{Kind, Node, Step};

/// A value that another configuration has otherwise. Secrets and passwords in URLs are not shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The key, `orders.store`.
    pub path: String,
    /// What it was; none if it was not there.
    pub before: Option<Value>,
    /// What it is; none if it is no more.
    pub after: Option<Value>,
    /// Where what it is came from; where what it was did, if it is no more.
    pub origin: Origin,
}

/// What differs, by key.
pub(super) fn difference<T: Serialize>(
    before: &Loaded<T>,
    after: &Loaded<T>,
) -> Result<Vec<Changed>, serde_json::Error> {
    let by_path = |explained: Vec<Explained>| -> BTreeMap<String, Explained> {
        explained.into_iter().map(|value| (value.path.clone(), value)).collect()
    };
    let (mut old, new) = (by_path(before.explain()?.0), by_path(after.explain()?.0));
    let mut changed = Vec::new();
    for (path, value) in new {
        let was = old.remove(&path);
        let same = was.as_ref().is_some_and(|was| {
            was.value == value.value
                // Two that are not shown look alike.
                && (!value.value.to_string().contains(REDACTED)
                    || written(&before.tree, &path) == written(&after.tree, &path))
        });
        if !same {
            let before = was.map(|was| was.value);
            changed.push(Changed { path, before, after: Some(value.value), origin: value.origin });
        }
    }
    changed.extend(old.into_values().map(|was| Changed {
        path: was.path,
        before: Some(was.value),
        after: None,
        origin: was.origin,
    }));
    changed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(changed)
}

/// What stands at a key, shown or not.
fn written(tree: &Node, path: &str) -> Option<Value> {
    let steps: Vec<Step> = path.split('.').map(Step::of).collect();
    tree.get(&steps).and_then(value)
}

/// A node as JSON.
pub(super) fn value(node: &Node) -> Option<Value> {
    match &node.kind {
        Kind::Scalar(value) => Some(value.clone()),
        Kind::List(items) => Some(items.iter().map(value).collect()),
        Kind::Table(table) => Some(table.iter().map(|(key, node)| (key.clone(), value(node))).collect()),
        Kind::Gone => None,
    }
}

impl<T: Serialize> Loaded<T> {
    /// What a later configuration has otherwise.
    ///
    /// # Errors
    /// When a value has no JSON form, such as a map whose keys are not strings.
    pub fn difference(&self, after: &Self) -> Result<Vec<Changed>, serde_json::Error> {
        difference(self, after)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{Loader, Secret};
    use super::*;

    #[derive(Serialize, Deserialize, Default)]
    #[serde(default)]
    struct Config {
        password: Option<Secret>,
        url: String,
        level: String,
        list: Vec<u8>,
        gone: Option<u8>,
        plain: u8,
    }

    #[test]
    fn a_secret_that_changed_is_told_and_not_shown() {
        let load = |text: &str| Loader::new().text("a.toml", text).load::<Config>().unwrap();
        let before = load(
            "password = \"hunter1\"\nurl = \"pg://me:hunter1@db\"\nlevel = \"info\"\nlist = [1]\ngone = 1\nplain = 5",
        );
        let after = load(
            "password = \"hunter2\"\nurl = \"pg://me:hunter2@db\"\nlevel = \"warn\"\nlist = [1]\nplain = 5",
        );
        let changed = before.difference(&after).unwrap();
        let paths: Vec<&str> = changed.iter().map(|changed| changed.path.as_str()).collect();
        assert_eq!(paths, ["gone", "level", "password", "url"]);
        assert_eq!(changed[1].before, Some("info".into()));
        assert_eq!(
            (&changed[1].after, changed[1].origin.to_string()),
            (&Some("warn".into()), "a.toml:3".into())
        );
        let shown = format!("{changed:?} {before:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(before.difference(&before).unwrap(), []);
    }
}
