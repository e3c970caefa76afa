//! Reading a query string into a typed struct; a parameter that is unknown, or given twice, is refused.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use percent_encoding::percent_decode_str;
use serde::de::value::StringDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::{Cursor, FieldError, Limit, PageRequest, Problem};

/// No more faults than these are looked for, so that a query of thousands of them costs little.
const MAX_FAULTS: usize = 10;

/// Reads a query string: numbers, booleans, strings, unit enums and options of them. `#[serde(flatten)]` does not work, since
/// it loses what type a field expects.
///
/// # Errors
/// 400 `invalid_query` that names the faulty parameters, the first ten of them, with the pointer `?name`.
pub fn from_query_str<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let mut faults = Vec::new();
    if percent_decode_str(query).decode_utf8().is_err() {
        return Err(refuse(vec![FieldError::new("?", "invalid_encoding", "must be UTF-8")]));
    }
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut names = HashSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if names.insert(name.clone()) {
            pairs.push((name, value));
            continue;
        }
        faults.push(fault(&name, "duplicate_parameter", "is given more than once"));
        if faults.len() == MAX_FAULTS {
            return Err(refuse(faults));
        }
    }
    // A faulty parameter is noted and left out, and the rest is read again, to name all faults at once.
    loop {
        let mut left = pairs.iter();
        match T::deserialize(Query { left: &mut left, value: None }) {
            Ok(value) if faults.is_empty() => return Ok(value),
            Ok(_) => return Err(refuse(faults)),
            Err(error) => {
                let Some(name) = error.name else {
                    faults.push(FieldError::new("?", error.code, error.detail));
                    return Err(refuse(faults));
                };
                let before = pairs.len();
                pairs.retain(|(known, _)| *known != name);
                let missing_since_faulty =
                    error.code == "missing_parameter" && faults.iter().any(|f| f.pointer[1..] == name);
                if !missing_since_faulty {
                    faults.push(fault(&name, error.code, &error.detail));
                }
                if pairs.len() == before || faults.len() == MAX_FAULTS {
                    return Err(refuse(faults));
                }
            }
        }
    }
}

/// The page that a list's `limit` and `cursor` ask for.
///
/// # Errors
/// 400 `invalid_query` for a cursor of another list.
pub fn page_request<K: DeserializeOwned>(
    limit: Option<Limit>,
    cursor: Option<&Cursor>,
) -> Result<PageRequest<K>, Problem> {
    let after = cursor.map(Cursor::decode).transpose();
    let after = after.map_err(|error| invalid_parameter("cursor", &format!("is {error}")))?;
    Ok(PageRequest { limit: limit.unwrap_or_default(), after })
}

/// 400 `invalid_query` for one parameter; `detail` goes on from its name, as in `must be …`.
pub fn invalid_parameter(name: &str, detail: &str) -> Problem {
    refuse(vec![fault(name, "invalid_parameter", detail)])
}

fn fault(name: &str, code: &'static str, detail: &str) -> FieldError {
    FieldError::new(format!("?{name}"), code, detail)
}

fn refuse(faults: Vec<FieldError>) -> Problem {
    let detail = match faults.as_slice() {
        [only] => format!("the parameter {} {}", only.pointer.trim_start_matches('?'), only.detail),
        all => format!("{} faults", all.len()),
    };
    Problem { errors: faults, ..Problem::new(400, "invalid_query", "The query is not valid").detail(detail) }
}

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

struct Query<'i, 'a> {
    left: &'i mut std::slice::Iter<'a, Pair<'a>>,
    value: Option<&'a Pair<'a>>,
}

impl<'de> de::Deserializer<'de> for Query<'_, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.left.next() {
            None => visitor.visit_unit(),
            Some((name, _)) => Err(Fault::unknown(name)),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Query<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.value = self.left.next();
        match self.value {
            None => Ok(None),
            Some((name, _)) => {
                let name: StringDeserializer<Fault> = name.to_string().into_deserializer();
                seed.deserialize(name).map(Some)
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, text) =
            self.value.take().ok_or_else(|| <Fault as de::Error>::custom("a value without a name"))?;
        seed.deserialize(Text(text)).map_err(|mut fault| {
            fault.name.get_or_insert_with(|| name.to_string());
            fault
        })
    }
}

struct Text<'a>(&'a str);

macro_rules! parsed {
    ($($method:ident $visit:ident $expected:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Fault::invalid(concat!("must be ", $expected))),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Text<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0)
    }

    parsed! {
        deserialize_bool visit_bool "true or false"
        deserialize_i8 visit_i8 "a whole number from -128 to 127"
        deserialize_i16 visit_i16 "a whole number from -32768 to 32767"
        deserialize_i32 visit_i32 "a whole number of 32 bits"
        deserialize_i64 visit_i64 "a whole number of 64 bits"
        deserialize_i128 visit_i128 "a whole number"
        deserialize_u8 visit_u8 "a whole number from 0 to 255"
        deserialize_u16 visit_u16 "a whole number from 0 to 65535"
        deserialize_u32 visit_u32 "a whole number from 0 to 4294967295"
        deserialize_u64 visit_u64 "a whole number, 0 or more"
        deserialize_u128 visit_u128 "a whole number, 0 or more"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
        deserialize_char visit_char "one character"
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_enum(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        Err(Fault { name: None, code: "unknown_parameter", detail: "is not known".into() })
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

impl<'de> EnumAccess<'de> for Text<'_> {
    type Error = Fault;
    type Variant = UnitOnly;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, UnitOnly), Fault> {
        let name: StringDeserializer<Fault> = self.0.to_owned().into_deserializer();
        Ok((seed.deserialize(name)?, UnitOnly))
    }
}

struct UnitOnly;

impl<'de> de::VariantAccess<'de> for UnitOnly {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(Fault::invalid("must be a plain name"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid("must be a plain name"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Fault> {
        Err(Fault::invalid("must be a plain name"))
    }
}

#[derive(Debug)]
struct Fault {
    name: Option<String>,
    code: &'static str,
    detail: String,
}

impl Fault {
    fn invalid(detail: impl Into<String>) -> Self {
        Self { name: None, code: "invalid_parameter", detail: detail.into() }
    }

    fn unknown(name: &str) -> Self {
        Self { name: Some(name.to_owned()), code: "unknown_parameter", detail: "is not known".into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::invalid(format!("is not valid: {message}"))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::unknown(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self { name: Some(field.to_owned()), code: "missing_parameter", detail: "is needed".into() }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::invalid(format!("must be one of {}", expected.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Status {
        Active,
        SoldOut,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Search {
        q: Option<String>,
        #[serde(default)]
        limit: u16,
        status: Option<Status>,
        in_stock: Option<bool>,
    }

    fn faults(query: &str) -> Vec<(String, String)> {
        let problem = from_query_str::<Search>(query).unwrap_err();
        assert_eq!((problem.status, &*problem.code), (400, "invalid_query"));
        problem.errors.into_iter().map(|e| (e.pointer, e.code.into_owned())).collect()
    }

    #[test]
    fn parameters_are_typed() {
        let search: Search = from_query_str("q=a+b%26&limit=7&status=sold_out&in_stock=true&").unwrap();
        let expected =
            Search { q: Some("a b&".into()), limit: 7, status: Some(Status::SoldOut), in_stock: Some(true) };
        assert_eq!(search, expected);
        assert_eq!(from_query_str::<Search>("").unwrap().limit, 0);
        from_query_str::<()>("").unwrap();
        assert_eq!(from_query_str::<()>("a=1").unwrap_err().errors[0].pointer, "?a");
    }

    #[test]
    fn every_faulty_parameter_is_named() {
        let all = faults("q=1&q=2&limit=x&status=gone&nope=1&in_stock=yes");
        let expected = [
            ("?q", "duplicate_parameter"),
            ("?limit", "invalid_parameter"),
            ("?status", "invalid_parameter"),
            ("?nope", "unknown_parameter"),
            ("?in_stock", "invalid_parameter"),
        ];
        assert_eq!(all, expected.map(|(n, c)| (n.to_owned(), c.to_owned())));
        assert_eq!(faults("q=%ff")[0].1, "invalid_encoding");
        assert_eq!(faults("limit=65536")[0].0, "?limit");
    }

    #[test]
    fn thousands_of_faults_are_answered_with_the_first_ones() {
        let unknown: String = (0..10_000).map(|n| format!("x{n}=1&")).collect();
        let doubled = "q=1&".repeat(10_000);
        for (query, code) in [(&unknown, "unknown_parameter"), (&doubled, "duplicate_parameter")] {
            let all = faults(query);
            assert_eq!(all.len(), MAX_FAULTS);
            assert!(all.iter().all(|(_, found)| found == code), "{all:?}");
        }
        assert_eq!(faults(&format!("{unknown}limit=x")).len(), MAX_FAULTS);
    }

    #[test]
    fn a_page_is_a_limit_and_a_cursor() {
        #[derive(Debug, Deserialize)]
        struct List {
            limit: Option<Limit>,
            cursor: Option<Cursor>,
        }
        let list: List = from_query_str("limit=500&cursor=Nw").unwrap();
        let page: PageRequest<u64> = page_request(list.limit, list.cursor.as_ref()).unwrap();
        assert_eq!((page.limit.get(), page.after), (500, Some(7)));
        for bad in ["0", "501", "-1", "x", "65586"] {
            let problem = from_query_str::<List>(&format!("limit={bad}")).unwrap_err();
            assert_eq!(problem.errors[0].pointer, "?limit", "{bad}");
        }
        for bad in ["", "Nw==", "bm8", "é"] {
            let problem = page_request::<u64>(None, Some(&Cursor(bad.into()))).unwrap_err();
            assert_eq!((problem.status, &*problem.errors[0].pointer), (400, "?cursor"), "{bad}");
        }
    }

    #[derive(Debug, Deserialize)]
    struct Needs {
        #[serde(rename = "after")]
        _after: u64,
    }

    #[test]
    fn a_missing_parameter_is_named_once() {
        let problem = from_query_str::<Needs>("").unwrap_err();
        assert_eq!((problem.errors.len(), &*problem.errors[0].code), (1, "missing_parameter"));
        let problem = from_query_str::<Needs>("after=x").unwrap_err();
        assert_eq!((problem.errors.len(), &*problem.errors[0].code), (1, "invalid_parameter"));
    }
}
