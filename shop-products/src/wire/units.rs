//! Whole numbers as JSON Schema has them: `1.0` and `1e3` are integers too, and a number that 64 bits do not hold is out of
//! range rather than of a wrong type.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

struct Units;

impl Visitor<'_> for Units {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, units: i64) -> Result<i64, E> {
        Ok(units)
    }

    fn visit_u64<E: Error>(self, units: u64) -> Result<i64, E> {
        // Too large is left to the range check, whose answer says what the range is.
        Ok(i64::try_from(units).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, units: f64) -> Result<i64, E> {
        if units.fract() == 0.0 {
            // Saturates at the ends of i64.
            Ok(units as i64)
        } else {
            Err(E::invalid_type(Unexpected::Float(units), &self))
        }
    }
}

/// Reads a number of units.
pub(crate) fn units<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    deserializer.deserialize_i64(Units)
}

/// Reads a number of units that may be absent or `null`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Optional;

    impl<'de> Visitor<'de> for Optional {
        type Value = Option<i64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number or null")
        }

        fn visit_none<E: Error>(self) -> Result<Option<i64>, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Option<i64>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<i64>, D::Error> {
            units(deserializer).map(Some)
        }
    }

    deserializer.deserialize_option(Optional)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(deserialize_with = "super::units")]
        units: i64,
        #[serde(default, deserialize_with = "super::optional")]
        maybe: Option<i64>,
    }

    fn units(text: &str) -> Option<i64> {
        serde_json::from_str::<Sample>(&format!(r#"{{"units":{text}}}"#)).ok().map(|sample| sample.units)
    }

    #[test]
    fn integers_are_what_json_schema_calls_so() {
        for (text, value) in [
            ("3", 3),
            ("-3", -3),
            ("2.0", 2),
            ("1e3", 1000),
            ("9223372036854775808", i64::MAX),
            ("1e30", i64::MAX),
            ("-1e30", i64::MIN),
        ] {
            assert_eq!(units(text), Some(value), "{text}");
        }
        for text in ["1.5", "\"1\"", "null", "true", "[]"] {
            assert_eq!(units(text), None, "{text}");
        }
        let maybe = |text: &str| serde_json::from_str::<Sample>(text).map(|sample| sample.maybe).ok();
        assert_eq!(maybe(r#"{"units":1}"#), Some(None));
        assert_eq!(maybe(r#"{"units":1,"maybe":null}"#), Some(None));
        assert_eq!(maybe(r#"{"units":1,"maybe":7.0}"#), Some(Some(7)));
        assert_eq!(maybe(r#"{"units":1,"maybe":"7"}"#), None);
    }
}
