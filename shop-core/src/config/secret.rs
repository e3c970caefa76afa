//! Secrets, which are never shown, and references to them.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is shown in a secret's place.
pub(super) const REDACTED: &str = "***";

/// A password or a token. Neither `Debug` nor `Serialize` shows it.
///
/// In a configuration it is written as a reference, `secret:env:NAME` or `secret:file:PATH`, or plainly.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for where it has to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        // Serde's own messages would show what was found.
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("a secret must be a string"))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom("a secret must be a string"))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("a secret must be a string"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// What a reference stands for; `None` when the text is not a reference.
pub(super) fn resolve(text: &str, variables: &[(String, String)]) -> Option<Result<String, String>> {
    let reference = text.strip_prefix("secret:")?;
    Some(match reference.split_once(':') {
        Some(("env", name)) => variables
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| format!("the variable {name} is not set")),
        Some(("file", path)) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => Err(format!("cannot read {path}: {error}")),
        },
        _ => Err("a secret is named as secret:env:NAME or secret:file:PATH".into()),
    })
}

/// A URL without its password; `None` if the text is no URL with a password.
pub fn redact_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (name, _) = user.split_once(':')?;
    Some(format!("{scheme}://{name}:{REDACTED}{}", &rest[user.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "Secret(***) \"***\"");
        let error = serde_json::from_str::<Secret>("4711").unwrap_err().to_string();
        assert!(!error.contains("4711"), "{error}");
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        let shown = redact_url("postgres://me:p@ss@db:5432/shop?x=1").unwrap();
        assert_eq!(shown, "postgres://me:***@db:5432/shop?x=1");
        assert_eq!(redact_url("postgres://me@db/shop"), None);
        assert_eq!(redact_url("sqlite:a@b:c"), None);
    }
}
