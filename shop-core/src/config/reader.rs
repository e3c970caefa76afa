//! The merged tree read as a typed value, with the path of whatever does not fit.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use super::tree::{Kind, Node, Step};

/// What does not fit, and where.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) kind: MisfitKind,
    pub(super) message: String,
    /// From the inside out while it is made.
    path: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MisfitKind {
    Unknown,
    Missing,
    Other,
}

impl Misfit {
    fn new(kind: MisfitKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), path: Vec::new() }
    }

    fn within(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }

    /// From the root to the place.
    pub(super) fn path(&self) -> Vec<Step> {
        self.path.iter().rev().cloned().collect()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(MisfitKind::Other, message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let known =
            if expected.is_empty() { String::new() } else { format!("; known are {}", expected.join(", ")) };
        Self::new(MisfitKind::Unknown, format!("unknown key{known}")).within(Step::Key(field.to_owned()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(MisfitKind::Missing, "is missing").within(Step::Key(field.to_owned()))
    }
}

impl Node {
    fn scalar<'de, V: Visitor<'de>>(value: &Value, visitor: V) -> Result<V::Value, Misfit> {
        match value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_str(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (.., number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::Array(_) | Value::Object(_) => {
                Err(de::Error::custom("lists and tables are nodes of their own"))
            }
        }
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.kind {
            Kind::Table(table) => visitor.visit_map(Entries { left: table.iter(), value: None }),
            Kind::List(items) => visitor.visit_seq(Items { left: items.iter().enumerate() }),
            Kind::Scalar(value) => Node::scalar(value, visitor),
            Kind::Gone => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.kind {
            Kind::Scalar(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.kind {
            Kind::Scalar(Value::String(text)) => {
                visitor.visit_enum(IntoDeserializer::<Misfit>::into_deserializer(text.as_str()))
            }
            Kind::Table(table) if table.len() == 1 => match table.iter().next() {
                Some(variant) => visitor.visit_enum(Variant(variant)),
                None => Err(de::Error::custom("expected a name")),
            },
            _ => Err(de::Error::custom("expected a name")),
        }
    }

    /// Nothing in a configuration is ignored: what no field takes is a key that nobody knows.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Misfit> {
        Err(Misfit::new(MisfitKind::Unknown, "unknown key"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier
    }
}

struct Entries<'t> {
    left: std::collections::btree_map::Iter<'t, String, Node>,
    value: Option<(&'t String, &'t Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        self.value = self.left.next();
        let Some((key, _)) = self.value else {
            return Ok(None);
        };
        seed.deserialize(IntoDeserializer::<Misfit>::into_deserializer(key.as_str())).map(Some).map_err(
            |misfit| {
                // An unknown field names itself.
                if misfit.path.is_empty() { misfit.within(Step::Key(key.clone())) } else { misfit }
            },
        )
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (key, node) =
            self.value.take().ok_or_else(|| <Misfit as de::Error>::custom("a value without a key"))?;
        seed.deserialize(node).map_err(|misfit| misfit.within(Step::Key(key.clone())))
    }
}

struct Items<'t> {
    left: std::iter::Enumerate<std::slice::Iter<'t, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let next = self.left.by_ref().find(|(_, node)| !matches!(node.kind, Kind::Gone));
        let Some((index, node)) = next else {
            return Ok(None);
        };
        seed.deserialize(node).map(Some).map_err(|misfit| misfit.within(Step::Index(index)))
    }
}

struct Variant<'t>((&'t String, &'t Node));

impl<'t, 'de> EnumAccess<'de> for Variant<'t> {
    type Error = Misfit;
    type Variant = Content<'t>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'t>), Misfit> {
        let (name, node) = self.0;
        let value = seed.deserialize(IntoDeserializer::<Misfit>::into_deserializer(name.as_str()))?;
        Ok((value, Content(name, node)))
    }
}

struct Content<'t>(&'t String, &'t Node);

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Err(de::Error::custom(format!("{} takes no content", self.0)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self.1).map_err(|misfit| misfit.within(Step::Key(self.0.clone())))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.1.deserialize_any(visitor).map_err(|misfit| misfit.within(Step::Key(self.0.clone())))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.1.deserialize_any(visitor).map_err(|misfit| misfit.within(Step::Key(self.0.clone())))
    }
}
