//! Conditional requests (RFC 9110, section 13): `If-Match` and `If-None-Match`.

use http::{HeaderMap, HeaderName};

use crate::Problem;

/// An entity tag (RFC 9110, section 8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTag {
    /// Whether it was marked `W/`.
    pub weak: bool,
    /// What stood between the quotes.
    pub tag: String,
}

impl EntityTag {
    fn version(&self) -> Option<u64> {
        // "+1" and "01" would parse too, but are not tags that we give.
        self.tag.parse().ok().filter(|version: &u64| version.to_string() == self.tag)
    }
}

/// `If-Match`, compared strongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever is there.
    Any,
    /// One of these; a weak tag matches nothing.
    Tags(Vec<EntityTag>),
}

impl IfMatch {
    /// Whether a thing of this version may be changed.
    pub fn allows(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| !tag.weak && tag.version() == Some(version)),
        }
    }

    /// The versions that are expected, for a service that checks them in its own transaction; `None` for `*`. Empty when no
    /// tag can match anything.
    pub fn versions(&self) -> Option<Vec<u64>> {
        match self {
            Self::Any => None,
            Self::Tags(tags) => {
                Some(tags.iter().filter(|tag| !tag.weak).filter_map(EntityTag::version).collect())
            }
        }
    }

    /// 412 unless a thing of this version may be changed.
    ///
    /// # Errors
    /// 412 `precondition_failed`.
    pub fn check(&self, version: u64) -> Result<(), Problem> {
        if self.allows(version) {
            return Ok(());
        }
        let detail = format!("the current version is \"{version}\"");
        Err(Problem::new(412, "precondition_failed", "Not the version that was expected").detail(detail))
    }
}

/// `If-None-Match`, compared weakly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfNoneMatch {
    /// `*`: anything at all.
    Any,
    /// One of these.
    Tags(Vec<EntityTag>),
}

impl IfNoneMatch {
    /// Whether the client has this version already, so that a GET is answered with 304.
    pub fn has(&self, version: u64) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag.version() == Some(version)),
        }
    }
}

enum Listed {
    Any,
    Tags(Vec<EntityTag>),
}

pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Problem> {
    Ok(listed(headers, http::header::IF_MATCH)?.map(|list| match list {
        Listed::Any => IfMatch::Any,
        Listed::Tags(tags) => IfMatch::Tags(tags),
    }))
}

pub(crate) fn if_none_match(headers: &HeaderMap) -> Result<Option<IfNoneMatch>, Problem> {
    Ok(listed(headers, http::header::IF_NONE_MATCH)?.map(|list| match list {
        Listed::Any => IfNoneMatch::Any,
        Listed::Tags(tags) => IfNoneMatch::Tags(tags),
    }))
}

fn listed(headers: &HeaderMap, name: HeaderName) -> Result<Option<Listed>, Problem> {
    let mut any = false;
    let mut tags = Vec::new();
    let mut lines = headers.get_all(&name).iter().peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    for line in lines {
        let text = line.as_bytes();
        if text.trim_ascii() == b"*" {
            any = true;
        } else if parse_tags(text, &mut tags).is_none() {
            return Err(malformed(&name));
        }
    }
    match (any, tags.is_empty()) {
        (true, true) => Ok(Some(Listed::Any)),
        (false, false) => Ok(Some(Listed::Tags(tags))),
        _ => Err(malformed(&name)),
    }
}

fn malformed(name: &HeaderName) -> Problem {
    Problem::new(400, "invalid_header", "A header is malformed")
        .detail(format!("{name} must be * or a list of entity tags in double quotes"))
}

/// `#entity-tag`: empty list elements are allowed.
fn parse_tags(mut text: &[u8], tags: &mut Vec<EntityTag>) -> Option<()> {
    loop {
        text = text.trim_ascii_start();
        if text.is_empty() {
            return Some(());
        }
        if let Some(rest) = text.strip_prefix(b",") {
            text = rest;
            continue;
        }
        let weak = text.starts_with(b"W/");
        let quoted = if weak { &text[2..] } else { text }.strip_prefix(b"\"")?;
        let end = quoted.iter().position(|b| *b == b'"')?;
        let tag = &quoted[..end];
        if !tag.iter().all(|b| matches!(b, 0x21 | 0x23..=0x7e | 0x80..)) {
            return None;
        }
        tags.push(EntityTag { weak, tag: String::from_utf8_lossy(tag).into_owned() });
        text = quoted[end + 1..].trim_ascii_start();
        if !text.is_empty() && !text.starts_with(b",") {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append("if-match", HeaderValue::from_str(line).unwrap());
            map.append("if-none-match", HeaderValue::from_str(line).unwrap());
        }
        map
    }

    #[test]
    fn a_weak_tag_never_satisfies_if_match() {
        let both = headers(&["W/\"3\", \"2\""]);
        let strong = if_match(&both).unwrap().unwrap();
        assert!(strong.allows(2) && !strong.allows(3));
        assert_eq!(strong.check(3).unwrap_err().status, 412);
        let weak = if_none_match(&both).unwrap().unwrap();
        assert!(weak.has(2) && weak.has(3) && !weak.has(4));
    }

    #[test]
    fn lists_may_span_lines_and_hold_any_tag() {
        let lines = headers(&["\"1\",, \"x,y\"", " \"4\""]);
        let list = if_match(&lines).unwrap().unwrap();
        assert!(list.allows(1) && list.allows(4) && !list.allows(0));
        assert_eq!(if_match(&headers(&[" * "])).unwrap(), Some(IfMatch::Any));
        assert_eq!(if_match(&headers(&[])).unwrap(), None);
        assert!(!if_match(&headers(&["\"01\", \"+1\""])).unwrap().unwrap().allows(1));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["", "1", "\"1", "\"a b\"", "\"1\" \"2\"", "*, \"1\"", "w/\"1\"", ","] {
            assert_eq!(if_match(&headers(&[bad])).unwrap_err().status, 400, "{bad}");
        }
        assert!(if_match(&headers(&["*", "\"1\""])).is_err());
    }
}
