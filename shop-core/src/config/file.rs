//! TOML, with the line of every value.

use std::sync::Arc;

use serde_json::{Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::origin::Origin;
use super::tree::{Kind, Node};

/// Reads a file's text; every syntax error that the parser can find, if there is one.
pub(super) fn parse(path: &str, text: &str) -> Result<Node, Vec<ConfigError>> {
    let file = File { path: path.into(), text };
    let (table, mut errors) = DeTable::parse_recoverable(text);
    errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
    let mut faults: Vec<ConfigError> = errors
        .iter()
        .map(|error| ConfigError {
            origin: file.origin(error.span().map_or(0, |span| span.start)),
            path: String::new(),
            message: error.message().to_owned(),
        })
        .collect();
    let start = table.span().start;
    let root = file.table(table.into_inner(), start, &mut faults);
    if faults.is_empty() { Ok(root) } else { Err(faults) }
}

struct File<'t> {
    path: Arc<str>,
    text: &'t str,
}

impl File<'_> {
    fn origin(&self, at: usize) -> Origin {
        let before = self.text.as_bytes().iter().take(at);
        Origin::File { path: self.path.clone(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    fn table(&self, table: DeTable<'_>, at: usize, faults: &mut Vec<ConfigError>) -> Node {
        let entries = table.into_iter().map(|(key, value)| {
            // A table's own span may be its header or its first key; the key's is where it was written.
            let key_at = key.span().start;
            (key.into_inner().into_owned(), self.value(value, key_at, faults))
        });
        Node::new(Kind::Table(entries.collect()), self.origin(at))
    }

    fn value(&self, value: Spanned<DeValue<'_>>, key_at: usize, faults: &mut Vec<ConfigError>) -> Node {
        let at = value.span().start;
        let mut refuse = |message: &str| {
            faults.push(ConfigError {
                origin: self.origin(at),
                path: String::new(),
                message: message.into(),
            });
            Value::Null
        };
        let scalar = match value.into_inner() {
            DeValue::Table(table) => return self.table(table, key_at, faults),
            DeValue::Array(items) => {
                let items = items.into_iter().map(|item| {
                    let at = item.span().start;
                    self.value(item, at, faults)
                });
                return Node::new(Kind::List(items.collect()), self.origin(key_at));
            }
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Datetime(value) => Value::String(value.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => refuse("the number does not fit 64 bits"),
            },
            DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
                Some(number) => Value::Number(number),
                None => refuse("the number must be finite"),
            },
        };
        Node::new(Kind::Scalar(scalar), self.origin(at))
    }
}

/// A variable's text as a TOML scalar or list where it is one, otherwise as it is.
pub(super) fn parse_value(text: &str) -> Value {
    let document = format!("v = {text}");
    let parsed = DeTable::parse(&document).ok().and_then(|table| {
        let mut faults = Vec::new();
        let file = File { path: "".into(), text: &document };
        let table = table.into_inner();
        // A text such as "1\nother = 2" must not become two keys.
        if table.len() != 1 {
            return None;
        }
        let (_, value) = table.into_iter().next()?;
        if matches!(value.get_ref(), DeValue::Datetime(_) | DeValue::Table(_)) {
            return None;
        }
        let node = file.value(value, 0, &mut faults);
        faults.is_empty().then(|| to_json(node)).flatten()
    });
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn to_json(node: Node) -> Option<Value> {
    match node.kind {
        Kind::Scalar(value) => Some(value),
        Kind::List(items) => items.into_iter().map(to_json).collect::<Option<Vec<_>>>().map(Value::Array),
        Kind::Table(table) => table
            .into_iter()
            .map(|(key, node)| Some((key, to_json(node)?)))
            .collect::<Option<_>>()
            .map(Value::Object),
        Kind::Gone => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_variable_is_a_toml_value_where_it_can_be() {
        for (text, value) in [
            ("true", json!(true)),
            ("8080", json!(8080)),
            ("0.5", json!(0.5)),
            ("\"a\"", json!("a")),
            ("[\"a:1\", \"b:2\"]", json!(["a:1", "b:2"])),
            ("0.0.0.0:8080", json!("0.0.0.0:8080")),
            ("250ms", json!("250ms")),
            ("2026-01-01", json!("2026-01-01")),
            ("1\nother = 2", json!("1\nother = 2")),
            ("", json!("")),
            ("1 # x", json!(1)),
        ] {
            assert_eq!(parse_value(text), value, "{text}");
        }
    }

    #[test]
    fn every_syntax_error_has_its_line() {
        let faults = parse("a.toml", "a = 1\nb = \nc = 2\nd = [1\n").unwrap_err();
        assert_eq!(faults[0].origin.to_string(), "a.toml:2");
        assert!(faults.len() > 1, "{faults:?}");
    }
}
