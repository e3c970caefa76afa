//! The last good entries on disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::entries::{Entries, Entry};
use super::section::EtcdConfig;

const FORMAT: u32 = 1;

/// What was accepted.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) prefix: String,
    pub(super) service: String,
    pub(super) revision: i64,
    pub(super) entries: Entries,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    sha256: String,
    content: Content,
}

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    prefix: String,
    service: String,
    revision: i64,
    entries: BTreeMap<String, (i64, String)>,
}

impl Content {
    fn sum(&self) -> io::Result<String> {
        let bytes = serde_json::to_vec(self)?;
        Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The file of a service: `config.orders.json` where the configuration says `config.json`.
pub(super) fn path_of(config: &EtcdConfig, service: &str) -> Option<PathBuf> {
    let path = config.snapshot.as_deref()?;
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}.{service}{}", extension.unwrap_or_default());
    Some(path.parent().unwrap_or(Path::new("")).join(name))
}

impl Snapshot {
    /// Writes it in the old one's place: after a crash there is the one or the other, whole.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let text = |entry: &Entry| {
            let text = std::str::from_utf8(&entry.value).map_err(io::Error::other)?;
            Ok::<_, io::Error>((entry.revision, text.to_owned()))
        };
        let entries = self.entries.iter().map(|(key, entry)| Ok((key.clone(), text(entry)?)));
        let content = Content {
            format: FORMAT,
            prefix: self.prefix.clone(),
            service: self.service.clone(),
            revision: self.revision,
            entries: entries.collect::<io::Result<_>>()?,
        };
        let envelope = Envelope { sha256: content.sum()?, content };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let part = path.with_extension(format!("{}.part", std::process::id()));
        // What a crash has left has the rights of then.
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private(&part)?;
        file.write_all(&serde_json::to_vec(&envelope)?)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        if cfg!(unix) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Reads it; says why it cannot be used.
    pub(super) fn read(path: &Path, prefix: &str, service: &str) -> Result<Self, String> {
        let fault = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let bytes = fs::read(path).map_err(|error| fault(&error))?;
        // Serde's message could quote a value.
        let envelope: Envelope = serde_json::from_slice(&bytes).map_err(|_| fault(&"is no snapshot"))?;
        let content = envelope.content;
        if content.sum().map_err(|error| fault(&error))? != envelope.sha256 {
            return Err(fault(&"is damaged: its sum is another one"));
        }
        if content.format != FORMAT {
            return Err(fault(&format_args!("has format {}, and this build reads {FORMAT}", content.format)));
        }
        if (content.prefix.as_str(), content.service.as_str()) != (prefix, service) {
            return Err(fault(&format_args!("is of {} in {}", content.service, content.prefix)));
        }
        let entry = |(revision, text): (i64, String)| Entry { value: text.into_bytes().into(), revision };
        Ok(Self {
            prefix: content.prefix,
            service: content.service,
            revision: content.revision,
            entries: content.entries.into_iter().map(|(key, kept)| (key, entry(kept))).collect(),
        })
    }
}

#[cfg(unix)]
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::entries::tests::entries;
    use super::*;

    #[test]
    fn each_service_has_a_file_of_its_own() {
        let of = |path: &str| {
            let config = serde_json::json!({ "endpoints": [], "snapshot": path });
            path_of(&serde_json::from_value(config).unwrap(), "orders").unwrap().display().to_string()
        };
        assert_eq!(of("state/config.json"), "state/config.orders.json");
        assert_eq!(of("config"), "config.orders");
    }

    #[test]
    fn it_is_read_as_it_was_written_and_any_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/config.orders.json");
        let written = Snapshot {
            prefix: "/shop".into(),
            service: "orders".into(),
            revision: 12,
            entries: entries(&[("/shop/common/log/level", "debug", 11), ("/shop/orders/a", "\"q\"\n", 12)]),
        };
        written.write(&path).unwrap();
        written.write(&path).unwrap();
        assert!(Snapshot::read(&path, "/shop", "orders").is_ok_and(|read| read == written));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        for (prefix, service) in [("/shop", "products"), ("/test", "orders")] {
            assert!(Snapshot::read(&path, prefix, service).is_err_and(|why| why.contains("is of orders")));
        }
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(Snapshot::read(&path, "/shop", "orders").is_err(), "byte {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert!(Snapshot::read(&path, "/shop", "orders").is_err(), "cut at {at}");
        }
    }
}
