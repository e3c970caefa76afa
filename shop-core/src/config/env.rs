//! `SHOP__SECTION__KEY`: variables as values.

use std::sync::Arc;

use super::error::ConfigError;
use super::file::parse_value;
use super::origin::Origin;
use super::tree::Node;

pub(super) const PREFIX: &str = "SHOP__";

/// Puts every variable of ours over the tree.
pub(super) fn apply(variables: &[(String, String)], root: &mut Node, faults: &mut Vec<ConfigError>) {
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // The environment has no order of its own; a longer name goes deeper, so it comes later.
    ours.sort();
    for (name, text) in ours {
        let origin = Origin::Env { name: Arc::from(name.as_str()) };
        let path = name[PREFIX.len()..].to_ascii_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        if path.iter().any(|key| key.is_empty()) {
            let message = "the name must be SHOP__SECTION__KEY".to_owned();
            faults.push(ConfigError { origin, path: String::new(), message });
            continue;
        }
        let mut node = Node::from_json(parse_value(text), &origin);
        node.text = Some(text.clone());
        root.put(&path, node);
    }
}
