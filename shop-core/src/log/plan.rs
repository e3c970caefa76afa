//! Where each field of a call site goes in the JSON object: worked out once a call site and thread.

use tracing::Metadata;

/// Names that the event itself fills.
const RESERVED: [&str; 11] = [
    "@timestamp",
    "@version",
    "host",
    "path",
    "tags",
    "type",
    "level",
    "logger_name",
    "log",
    "ecs",
    "service",
];
/// ECS names that are objects, so that a scalar of the name needs one of its own inside.
const OBJECTS: [&str; 13] = [
    "client",
    "error",
    "event",
    "http",
    "labels",
    "network",
    "shop",
    "span",
    "trace",
    "transaction",
    "url",
    "user_agent",
    "process",
];
/// A field whose last part contains one of these is not shown.
const SECRETS: [&str; 6] = ["password", "passwd", "secret", "token", "authorization", "api_key"];

pub(super) fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| lower.contains(secret))
}

/// What is done with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    Plain,
    /// `url.query`: secret parameters are masked.
    Query,
    /// Not shown at all.
    Secret,
    /// The event's message, which stands with the fixed fields.
    Message,
    /// Its place is taken by another field.
    Skip,
}

/// A place in the object: its keys, quoted and with their colons.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) keys: Vec<String>,
}

/// The layout of a call site's events.
#[derive(Debug)]
pub(super) struct Plan {
    /// Places in the order in which they are written.
    pub(super) places: Vec<Place>,
    /// By field index: the place, and what is done with the value.
    pub(super) fields: Vec<(usize, Treatment)>,
    pub(super) event_id: usize,
    pub(super) sequence: usize,
    pub(super) request_id: usize,
    pub(super) trace_id: usize,
    /// The service whose access events these are, from a target such as `orders::access`.
    pub(super) access_of: Option<&'static str>,
}

impl Plan {
    pub(super) fn of(metadata: &'static Metadata<'static>) -> Self {
        let mut names: Vec<(Vec<String>, Option<usize>)> = Vec::new();
        let mut fields = Vec::new();
        for field in metadata.fields() {
            let name = field.name();
            let last = name.rsplit('.').next().unwrap_or(name);
            let treatment = match name {
                "message" => Treatment::Message,
                "url.query" => Treatment::Query,
                _ if is_secret(last) => Treatment::Secret,
                _ => Treatment::Plain,
            };
            fields.push((0, treatment));
            if treatment != Treatment::Message {
                names.push((path_of(name), Some(field.index())));
            }
        }
        for own in ["event.id", "event.sequence", "http.request.id", "trace.id"] {
            names.push((path_of(own), None));
        }
        // A name that is also the beginning of another one is an object, so its value moves inside.
        let all: Vec<Vec<String>> = names.iter().map(|(path, _)| path.clone()).collect();
        for (path, _) in &mut names {
            if all.iter().any(|other| other.len() > path.len() && other.starts_with(path)) {
                path.push("value".into());
            }
        }
        // The event's own id and sequence must win over fields of the name; a request's ids are there to be overridden.
        names.sort_by(|(a, a_field), (b, b_field)| {
            let own = |path: &[String]| path == ["event", "id"] || path == ["event", "sequence"];
            let rank = |path: &[String], field: &Option<usize>| {
                if own(path) { field.is_some() } else { field.is_none() }
            };
            a.cmp(b).then(rank(a, a_field).cmp(&rank(b, b_field)))
        });
        let mut places: Vec<Place> = Vec::new();
        let mut last: Option<Vec<String>> = None;
        for (path, field) in names {
            let taken = last.as_ref() == Some(&path);
            if !taken {
                let keys =
                    path.iter().map(|key| format!("{}:", serde_json::Value::from(key.as_str()))).collect();
                places.push(Place { keys });
                last = Some(path);
            }
            if let Some(index) = field {
                fields[index] =
                    if taken { (0, Treatment::Skip) } else { (places.len() - 1, fields[index].1) };
            }
        }
        let find = |wanted: [&str; 3]| {
            let keys: Vec<String> =
                wanted.iter().filter(|key| !key.is_empty()).map(|key| format!("\"{key}\":")).collect();
            places.iter().position(|place| place.keys == keys).unwrap_or(usize::MAX)
        };
        let (event_id, sequence) = (find(["event", "id", ""]), find(["event", "sequence", ""]));
        let (request_id, trace_id) = (find(["http", "request", "id"]), find(["trace", "id", ""]));
        let access_of = metadata.target().strip_suffix("::access");
        Self { places, fields, event_id, sequence, request_id, trace_id, access_of }
    }
}

fn path_of(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('.').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => vec!["labels".into(), "unnamed".into()],
        [first, ..] if RESERVED.contains(first) => {
            // Label keys have no dots (ecs-logging).
            vec!["labels".into(), parts.join("_")]
        }
        ["error"] => vec!["error".into(), "message".into()],
        [only] if OBJECTS.contains(only) => vec![(*only).into(), "value".into()],
        ["labels", rest @ ..] => vec!["labels".into(), rest.join("_")],
        all => all.iter().map(|part| (*part).to_owned()).collect(),
    }
}
