//! Reading JSON bodies, and saying exactly what is wrong with them.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use super::strict::Strict;
use crate::{FieldError, Problem};

/// How far a faulty body is searched for further faults: the search deserialises it again and again.
const SEARCH_BYTES: usize = 16 << 10;
const SEARCH_FAULTS: usize = 10;

/// A body read as `T`, with its bytes as they came.
#[derive(Debug, Clone)]
pub struct Json<T> {
    /// What the body says.
    pub value: T,
    /// The body itself, for an idempotency fingerprint.
    pub raw: Bytes,
}

/// Reads JSON text. `T` should carry `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// 400 `malformed_json` with line and column when the text is not JSON; 400 `invalid_body` with a JSON pointer for each
/// fault when it is, but not of this shape.
pub fn from_json_slice<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Problem> {
    let mut text = serde_json::Deserializer::from_slice(raw);
    let read = T::deserialize(Strict(&mut text)).and_then(|value| text.end().map(|()| value));
    read.map_err(|error| explain::<T>(raw, &error))
}

#[cold]
fn explain<T: DeserializeOwned>(raw: &[u8], error: &serde_json::Error) -> Problem {
    let value = match serde_json::from_slice::<Value>(raw) {
        Ok(value) => value,
        Err(syntax) => return malformed(&syntax),
    };
    let mut faults = if raw.len() <= SEARCH_BYTES { search::<T>(value) } else { Vec::new() };
    if faults.is_empty() {
        // Too long to search, or a fault that only the text has, such as a field given twice.
        let mut text = serde_json::Deserializer::from_slice(raw);
        faults.push(match serde_path_to_error::deserialize::<_, T>(Strict(&mut text)) {
            Err(error) => Fault::of(&error).field,
            Ok(_) => FieldError::new("", "invalid_value", error.to_string()),
        });
    }
    let detail = match faults.as_slice() {
        [only] => {
            format!("{}: {}", if only.pointer.is_empty() { "the body" } else { &only.pointer }, only.detail)
        }
        all => format!("{} faults", all.len()),
    };
    Problem {
        errors: faults,
        ..Problem::new(400, "invalid_body", "The body has the wrong shape").detail(detail)
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(400, "malformed_json", "The body is not JSON")
        .detail(error.to_string())
        .with("line", error.line())
        .with("column", error.column())
}

struct Fault {
    field: FieldError,
    /// Whether the thing at the pointer has to go, rather than to become something else.
    surplus: bool,
}

impl Fault {
    fn of(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let mut message = error.inner().to_string();
        if let Some(place) = message.rfind(" at line ") {
            message.truncate(place);
        }
        let mut pointer = String::new();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => push_key(&mut pointer, key),
                Segment::Enum { .. } => {}
                Segment::Unknown => break,
            }
        }
        // Serde has no codes; these beginnings are its documented messages.
        let named = |prefix: &str| Some(message.strip_prefix(prefix)?.split('`').next()?.to_owned());
        let mut surplus = false;
        let code = if let Some(name) = named("unknown field `") {
            surplus = true;
            name_at_end(&mut pointer, &name);
            "unknown_field"
        } else if let Some(name) = named("missing field `") {
            push_key(&mut pointer, &name);
            "missing_field"
        } else if let Some(name) = named("duplicate field `") {
            name_at_end(&mut pointer, &name);
            "duplicate_field"
        } else if message.starts_with("invalid type: ") {
            "invalid_type"
        } else if message.starts_with("invalid length ") {
            "invalid_length"
        } else {
            "invalid_value"
        };
        Self { field: FieldError::new(pointer, code, plain(message)), surplus }
    }
}

/// A client knows objects, not our structs.
fn plain(message: String) -> String {
    match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        None => message,
    }
}

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

fn name_at_end(pointer: &mut String, name: &str) {
    let mut last = String::new();
    push_key(&mut last, name);
    if !pointer.ends_with(&last) {
        pointer.push_str(&last);
    }
}

/// Every fault that can be found: each is noted and put right, as far as that can be guessed, and the whole is read again.
fn search<T: DeserializeOwned>(mut value: Value) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let mut next = attempt::<T>(&value);
    while let Some(fault) = next {
        let pointer = fault.field.pointer.clone();
        faults.push(fault.field);
        if faults.len() == SEARCH_FAULTS {
            break;
        }
        next = if fault.surplus {
            remove(&mut value, &pointer);
            attempt::<T>(&value).filter(|again| again.field.pointer != pointer)
        } else {
            repair::<T>(&mut value, &pointer)
        };
    }
    faults
}

fn attempt<T: DeserializeOwned>(value: &Value) -> Option<Fault> {
    serde_path_to_error::deserialize::<_, T>(Strict(value)).err().map(|error| Fault::of(&error))
}

/// The fault that comes after the one at `pointer`, found by putting something acceptable there.
fn repair<T: DeserializeOwned>(value: &mut Value, pointer: &str) -> Option<Fault> {
    for guess in [Value::Null, json!(1), json!("1"), json!(true), json!([]), json!({})] {
        if !put(value, pointer, guess) {
            return None;
        }
        match attempt::<T>(value) {
            None => return None,
            Some(next) if !next.field.pointer.starts_with(pointer) => return Some(next),
            Some(_) => {}
        }
    }
    None
}

fn split(pointer: &str) -> Option<(&str, String)> {
    let (parent, key) = pointer.rsplit_once('/')?;
    Some((parent, key.replace("~1", "/").replace("~0", "~")))
}

fn put(value: &mut Value, pointer: &str, new: Value) -> bool {
    let Some((parent, key)) = split(pointer) else {
        return false;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(object)) => {
            object.insert(key, new);
            true
        }
        Some(Value::Array(items)) => match key.parse::<usize>().ok().and_then(|i| items.get_mut(i)) {
            Some(item) => {
                *item = new;
                true
            }
            None => false,
        },
        _ => false,
    }
}

fn remove(value: &mut Value, pointer: &str) {
    if let Some((parent, key)) = split(pointer)
        && let Some(object) = value.pointer_mut(parent).and_then(Value::as_object_mut)
    {
        object.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Order {
        lines: Vec<Line>,
        reference: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Line {
        sku: String,
        quantity: u32,
    }

    fn faults(text: &str) -> Vec<(String, String)> {
        let problem = from_json_slice::<Order>(text.as_bytes()).unwrap_err();
        assert_eq!((problem.status, &*problem.code), (400, "invalid_body"), "{problem:?}");
        problem.errors.into_iter().map(|e| (e.pointer, e.code.into_owned())).collect()
    }

    #[test]
    fn every_fault_is_named_by_its_pointer() {
        let text =
            r#"{"lines":[{"sku":"a","quantity":"2"},{"sku":7,"quantity":1,"price":3},{"sku":"c"}],"x/y":1}"#;
        let expected = [
            ("/lines/0/quantity", "invalid_type"),
            ("/lines/1/sku", "invalid_type"),
            ("/lines/1/price", "unknown_field"),
            ("/lines/2/quantity", "missing_field"),
            ("/x~1y", "unknown_field"),
        ];
        let mut found = faults(text);
        found.sort();
        let mut expected: Vec<_> = expected.map(|(p, c)| (p.to_owned(), c.to_owned())).into();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_that_do_not_fit_and_doubled_fields_are_faults() {
        for (number, code) in
            [("-1", "invalid_value"), ("9223372036854775808", "invalid_value"), ("1.5", "invalid_type")]
        {
            let text = format!(r#"{{"lines":[{{"sku":"a","quantity":{number}}}]}}"#);
            assert_eq!(faults(&text), [("/lines/0/quantity".to_owned(), code.to_owned())]);
        }
        let twice = r#"{"lines":[{"sku":"a","sku":"b","quantity":1}]}"#;
        assert_eq!(faults(twice), [("/lines/0/sku".to_owned(), "duplicate_field".to_owned())]);
        assert_eq!(faults("[]")[0].0, "");
    }

    #[test]
    fn an_array_is_no_object_however_deep() {
        let whole = r#"[[{"sku":"a","quantity":1}]]"#;
        assert_eq!(faults(whole), [(String::new(), "invalid_type".to_owned())]);
        let nested = r#"{"lines":[{"sku":"a","quantity":1},["b",1]]}"#;
        assert_eq!(faults(nested), [("/lines/1".to_owned(), "invalid_type".to_owned())]);
        let long = format!(r#"{{"lines":[["b",1]]{}}}"#, " ".repeat(SEARCH_BYTES));
        assert_eq!(faults(&long), [("/lines/0".to_owned(), "invalid_type".to_owned())]);
    }

    #[test]
    fn text_that_is_not_json_says_where() {
        for (text, line, column) in [("{\"lines\":\n [}", 2, 3), ("", 1, 0), ("{} x", 1, 4)] {
            let problem = from_json_slice::<Order>(text.as_bytes()).unwrap_err();
            assert_eq!(&*problem.code, "malformed_json", "{text}");
            assert_eq!(
                (&problem.extensions["line"], &problem.extensions["column"]),
                (&json!(line), &json!(column))
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(from_json_slice::<Value>(deep.as_bytes()).unwrap_err().code, "malformed_json");
    }
}
