//! The layers put together and read as one typed value.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ConfigError, ConfigErrors};
use super::explain::Explanation;
use super::origin::Origin;
use super::reader::{Misfit, MisfitKind};
use super::stamp::Stamp;
use super::tree::{Kind, Node, Step, show};
use super::{env, file, secret};

/// Something that a program finds wrong with a value that reads well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key, `gateway.limits.max_body` or `routes.0.path`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl Violation {
    /// A violation at a key.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// The layers of a configuration, lowest first.
#[derive(Debug, Default)]
pub struct Loader {
    files: Vec<Source>,
    variables: Vec<(String, String)>,
    flags: Vec<(String, String, Value)>,
    faults: Vec<ConfigError>,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Text(String, String),
}

impl Source {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(..) => None,
        }
    }
}

impl Loader {
    /// Defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file, which must be there; over the files before it.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push(Source::File(path.as_ref().to_owned()));
        self
    }

    /// Adds TOML text under a name to show, over the files before it.
    #[must_use]
    pub fn text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.push(Source::Text(name.into(), text.into()));
        self
    }

    /// Gives variables. `secret:env:NAME` is looked up in them too.
    #[must_use]
    pub fn env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Gives the environment: a binary hands in `std::env::vars_os()`. What is not UTF-8 is a fault if it is meant for us, by its
    /// prefix `SHOP__`, and otherwise nothing to us.
    #[must_use]
    pub fn env_os(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        for (name, text) in variables {
            match (name.to_str(), text.to_str()) {
                (Some(name), Some(text)) => self.variables.push((name.to_owned(), text.to_owned())),
                _ if name.as_encoded_bytes().starts_with(env::PREFIX.as_bytes()) => {
                    self.faults.push(ConfigError {
                        origin: Origin::Env { name: name.to_string_lossy().into() },
                        path: String::new(),
                        message: "is not UTF-8".to_owned(),
                    });
                }
                _ => {}
            }
        }
        self
    }

    /// Sets a value by a flag, if the flag was given: `flag("--store", "orders.store", args.store)`.
    #[must_use]
    pub fn flag<V: Serialize>(mut self, name: &str, path: &str, value: Option<V>) -> Self {
        match value.map(|value| serde_json::to_value(value)).transpose() {
            Ok(Some(value)) => self.flags.push((name.to_owned(), path.to_owned(), value)),
            Ok(None) => {}
            Err(error) => self.faults.push(ConfigError {
                origin: Origin::Flag { name: name.into() },
                path: path.to_owned(),
                message: error.to_string(),
            }),
        }
        self
    }

    /// Reads all layers as `T`.
    ///
    /// # Errors
    /// Every fault of every layer.
    pub fn load<T: DeserializeOwned>(self) -> Result<Loaded<T>, ConfigErrors> {
        self.load_checked(|_| Vec::new())
    }

    /// Reads all layers as `T`, which then has to pass a check of its own; what it finds is told with its origin too.
    ///
    /// # Errors
    /// Every fault of every layer, or else every violation.
    pub fn load_checked<T: DeserializeOwned>(
        self,
        check: impl FnOnce(&T) -> Vec<Violation>,
    ) -> Result<Loaded<T>, ConfigErrors> {
        self.layers().load(None, check)
    }

    /// Reads the files.
    pub(super) fn layers(self) -> Layers {
        let stamps = stamps(&self.files);
        let (files, faults) = files(&self.files);
        Layers {
            sources: self.files,
            stamps,
            files,
            variables: self.variables,
            flags: self.flags,
            faults: self.faults,
            file_faults: faults,
        }
    }
}

fn stamps(sources: &[Source]) -> Vec<Option<Stamp>> {
    sources.iter().filter_map(Source::path).map(Stamp::of).collect()
}

/// The files' layers, merged, and what is wrong with them.
fn files(sources: &[Source]) -> (Node, Vec<ConfigError>) {
    let mut faults = Vec::new();
    let mut files = Node::table(Origin::Default);
    for source in sources {
        let read;
        let (name, text) = match source {
            Source::Text(name, text) => (name.clone(), text),
            Source::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => {
                    read = text;
                    (path.display().to_string(), &read)
                }
                Err(error) => {
                    let origin = Origin::File { path: Arc::from(path.display().to_string()), line: 1 };
                    let message = format!("cannot be read: {error}");
                    faults.push(ConfigError { origin, path: String::new(), message });
                    continue;
                }
            },
        };
        match file::parse(&name, text) {
            Ok(tree) => files.merge(tree),
            Err(errors) => faults.extend(errors),
        }
    }
    (files, faults)
}

/// What a [`Loader`] was given, with its files as they were when they were read.
#[derive(Clone)]
pub(super) struct Layers {
    sources: Vec<Source>,
    /// Of the files, from before they were read.
    pub(super) stamps: Vec<Option<Stamp>>,
    files: Node,
    variables: Vec<(String, String)>,
    flags: Vec<(String, String, Value)>,
    faults: Vec<ConfigError>,
    file_faults: Vec<ConfigError>,
}

/// A layer from elsewhere, which lies over the files and under the environment.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) tree: Node,
    pub(super) faults: Vec<ConfigError>,
}

impl Layers {
    /// The same with the files as they are now.
    pub(super) fn reread(&self) -> Self {
        let stamps = stamps(&self.sources);
        let (files, file_faults) = files(&self.sources);
        Self { stamps, files, file_faults, ..self.clone() }
    }

    /// The files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(Source::path)
    }

    /// No values, but the variables that secrets are looked up in.
    #[cfg(feature = "etcd")]
    pub(super) fn secrets_only(&self) -> Self {
        let ours = |(name, _): &&(String, String)| !name.starts_with(env::PREFIX);
        Self {
            sources: Vec::new(),
            stamps: Vec::new(),
            files: Node::table(Origin::Default),
            variables: self.variables.iter().filter(ours).cloned().collect(),
            flags: Vec::new(),
            faults: Vec::new(),
            file_faults: Vec::new(),
        }
    }

    /// Reads the layers as `T`; secrets are looked up anew.
    pub(super) fn load<T: DeserializeOwned>(
        &self,
        remote: Option<Remote>,
        check: impl FnOnce(&T) -> Vec<Violation>,
    ) -> Result<Loaded<T>, ConfigErrors> {
        let mut faults = Vec::new();
        let mut tree = self.tree(remote, &mut faults);
        let value = read(&mut tree, &mut faults);
        if let (Some(value), true) = (value, faults.is_empty()) {
            for violation in check(&value) {
                let path: Vec<Step> =
                    violation.path.split('.').filter(|step| !step.is_empty()).map(Step::of).collect();
                faults.push(fault(&tree, &path, &violation.message));
            }
            if faults.is_empty() {
                return Ok(Loaded { value, tree });
            }
        }
        Err(ConfigErrors(faults))
    }

    /// The layers merged, with the secrets that are referred to.
    pub(super) fn tree(&self, remote: Option<Remote>, faults: &mut Vec<ConfigError>) -> Node {
        faults.extend(self.faults.iter().chain(&self.file_faults).cloned());
        let mut root = self.files.clone();
        if let Some(remote) = remote {
            faults.extend(remote.faults);
            root.merge(remote.tree);
        }
        env::apply(&self.variables, &mut root, faults);
        for (name, path, value) in &self.flags {
            let origin = Origin::Flag { name: name.as_str().into() };
            let path: Vec<&str> = path.split('.').collect();
            root.put(&path, Node::from_json(value.clone(), &origin));
        }
        root.for_each_scalar(&mut Vec::new(), &mut |path, node| {
            let Kind::Scalar(Value::String(text)) = &node.kind else {
                return;
            };
            match secret::resolve(text, &self.variables) {
                None => {}
                Some(Ok(text)) => {
                    node.kind = Kind::Scalar(Value::String(text));
                    node.secret = true;
                    node.text = None;
                }
                Some(Err(message)) => {
                    faults.push(ConfigError { origin: node.origin.clone(), path: show(path), message });
                }
            }
        });
        root
    }
}

/// Reads the tree; every fault is noted, the faulty part is taken away, and the rest is read again.
pub(super) fn read<T: DeserializeOwned>(tree: &mut Node, faults: &mut Vec<ConfigError>) -> Option<T> {
    let mut taken: Vec<Vec<Step>> = Vec::new();
    loop {
        let misfit: Misfit = match T::deserialize(&*tree) {
            Ok(value) => return Some(value),
            Err(misfit) => misfit,
        };
        let path = misfit.path();
        if misfit.kind == MisfitKind::Missing {
            // What is missing because it was faulty has been told already.
            if !taken.contains(&path) {
                faults.push(fault(tree, &path, &misfit.message));
            }
            let parent = path[..path.len().saturating_sub(1)].to_vec();
            if !tree.remove(&parent) {
                return None;
            }
            taken.push(parent);
            continue;
        }
        // A variable's `007` may be meant as a string.
        if let Some(node) = tree.get_mut(&path)
            && let Some(text) = node.text.take()
            && !matches!(&node.kind, Kind::Scalar(Value::String(_)))
        {
            node.kind = Kind::Scalar(Value::String(text));
            continue;
        }
        faults.push(fault(tree, &path, &misfit.message));
        if !tree.remove(&path) {
            return None;
        }
        taken.push(path);
    }
}

/// A fault of what is at a path, whose message may quote it: never a secret, nor a password in a URL.
fn fault(tree: &Node, path: &[Step], message: &str) -> ConfigError {
    let message = match tree.get(path) {
        Some(node) if node.secret => "the secret's text is not valid here".to_owned(),
        Some(Node { kind: Kind::Scalar(Value::String(text)), .. }) => match secret::redact_url(text) {
            Some(redacted) => message.replace(text, &redacted),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    };
    ConfigError { origin: tree.origin_of(path), path: show(path), message }
}

/// A configuration, and where each of its values came from.
pub struct Loaded<T> {
    /// The configuration.
    pub value: T,
    pub(super) tree: Node,
}

/// Shows no value, which might be a secret: [`Loaded::explain`] shows what may be seen.
impl<T> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").finish_non_exhaustive()
    }
}

impl<T> Loaded<T> {
    /// Where the value of a key, `orders.store` or `routes.0.path`, came from.
    pub fn origin(&self, path: &str) -> Origin {
        let steps: Vec<Step> = path.split('.').map(Step::of).collect();
        self.tree.get(&steps).map_or(Origin::Default, |node| node.origin.clone())
    }

    /// Every value that is in effect, with its origin; secrets and passwords in URLs are not shown.
    ///
    /// # Errors
    /// When the value has no JSON form, such as a map whose keys are not strings.
    pub fn explain(&self) -> Result<Explanation, serde_json::Error>
    where
        T: Serialize,
    {
        Ok(Explanation::of(&serde_json::to_value(&self.value)?, &self.tree))
    }
}
