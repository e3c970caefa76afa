use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::config::error::ConfigError;
use crate::config::loader::Remote;
use crate::config::origin::Origin;
use crate::config::tree::{Kind, Node, Step};

/// The layer of all services.
pub(super) const COMMON: &str = "common";

/// A value of etcd.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Arc<[u8]>,
    /// When it was written last.
    pub(super) revision: i64,
}

/// Keys, whole, and what they hold.
pub(super) type Entries = BTreeMap<String, Entry>;

/// The part that a service reads: `<prefix>/common/…` and `<prefix>/<service>/…`.
pub(super) fn of_service(all: &Entries, prefix: &str, service: &str) -> Entries {
    let scopes = [COMMON, service].map(|scope| format!("{prefix}/{scope}/"));
    let read = |key: &str| scopes.iter().any(|scope| key.starts_with(scope));
    all.iter().filter(|(key, _)| read(key)).map(|(key, entry)| (key.clone(), entry.clone())).collect()
}

/// The layers that entries make, the service's over the common one. A key is a leaf; a value is JSON where it can be, and
/// otherwise a string as it is.
pub(super) fn layer(entries: &Entries, prefix: &str, service: &str) -> Remote {
    let mut faults = Vec::new();
    let mut root = Node::table(Origin::Default);
    for scope in [COMMON, service] {
        let begin = format!("{prefix}/{scope}/");
        let mut tree = Node::table(Origin::Default);
        for (key, entry) in entries {
            let Some(path) = key.strip_prefix(&begin) else { continue };
            let origin = Origin::Etcd { key: key.as_str().into(), revision: entry.revision };
            let path: Vec<&str> = path.split('/').collect();
            match leaf(&path, &entry.value, &origin, &tree) {
                Ok(node) => tree.put(&path, node),
                Err(message) => {
                    faults.push(ConfigError { origin, path: path.join("."), message: message.to_owned() });
                }
            }
        }
        root.merge(tree);
    }
    Remote { tree: root, faults }
}

fn leaf(path: &[&str], value: &[u8], origin: &Origin, before: &Node) -> Result<Node, &'static str> {
    if path.iter().any(|step| step.is_empty()) {
        return Err("the key must be SECTION/KEY after the service, each a name");
    }
    if path[0] == "etcd" {
        return Err("where etcd is cannot be kept in etcd");
    }
    let steps: Vec<Step> = path.iter().map(|step| Step::Key((*step).to_owned())).collect();
    let is_leaf = |above: &[Step]| before.get(above).is_some_and(|node| !matches!(node.kind, Kind::Table(_)));
    // A key sorts before those that begin with it.
    if (1..steps.len()).any(|length| is_leaf(&steps[..length])) {
        return Err("another key has a value where this one needs a table");
    }
    let text = std::str::from_utf8(value).map_err(|_| "is not UTF-8")?;
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) => Err("a table is written as a key for each of its leaves"),
        Ok(value) => {
            let mut node = Node::from_json(value, origin);
            // Where a string is wanted, `007` and `true` are strings.
            if !matches!(node.kind, Kind::Scalar(Value::String(_))) {
                node.text = Some(text.to_owned());
            }
            Ok(node)
        }
        Err(_) => Ok(Node::new(Kind::Scalar(Value::String(text.to_owned())), origin.clone())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn entries(list: &[(&str, &str, i64)]) -> Entries {
        let entry = |value: &str, revision| Entry { value: value.as_bytes().into(), revision };
        list.iter().map(|(key, value, revision)| ((*key).to_owned(), entry(value, *revision))).collect()
    }

    #[test]
    fn the_services_keys_lie_over_the_common_ones() {
        let all = entries(&[
            ("/shop/common/log/level", "info", 3),
            ("/shop/common/orders/grace", "40s", 4),
            ("/shop/orders/log/level", "debug", 5),
            ("/shop/products/log/level", "trace", 6),
            ("/shop/orders2/log/level", "off", 6),
        ]);
        let ours = of_service(&all, "/shop", "orders");
        assert_eq!(ours.len(), 3);
        let remote = layer(&all, "/shop", "orders");
        assert_eq!(remote.faults, []);
        let at = |path: &[&str]| {
            let steps: Vec<Step> = path.iter().map(|step| Step::Key((*step).to_owned())).collect();
            let node = remote.tree.get(&steps).unwrap();
            format!("{:?} {}", node.kind, node.origin)
        };
        assert_eq!(at(&["log", "level"]), "Scalar(String(\"debug\")) /shop/orders/log/level@5");
        assert_eq!(at(&["orders", "grace"]), "Scalar(String(\"40s\")) /shop/common/orders/grace@4");
    }

    #[test]
    fn what_is_no_leaf_is_a_fault_that_names_the_key() {
        let mut all = entries(&[
            ("/s/common/", "1", 1),
            ("/s/common/a", "1", 2),
            ("/s/common/a-b", "1", 2),
            ("/s/common/a/b", "1", 3),
            ("/s/common/b//c", "1", 4),
            ("/s/common/etcd/prefix", "/x", 5),
            ("/s/common/t", "{\"x\": 1}", 6),
        ]);
        all.insert("/s/common/u".into(), Entry { value: [0xff].as_slice().into(), revision: 7 });
        let said: Vec<String> = layer(&all, "/s", "orders").faults.iter().map(ToString::to_string).collect();
        let begins = [
            "/s/common/@1: the key must be",
            "/s/common/a/b@3: a.b: another key",
            "/s/common/b//c@4: b..c: the key must be",
            "/s/common/etcd/prefix@5: etcd.prefix: where etcd is",
            "/s/common/t@6: t: a table",
            "/s/common/u@7: u: is not UTF-8",
        ];
        assert_eq!(said.len(), begins.len(), "{said:?}");
        for (fault, begin) in said.iter().zip(begins) {
            assert!(fault.starts_with(begin), "{fault}");
        }
    }
}
