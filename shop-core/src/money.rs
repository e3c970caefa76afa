use std::fmt;
use std::str::FromStr;

pub use iso_currency::Currency;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An exact amount in an ISO 4217 currency, held in the currency's smallest unit (cents for EUR, yen for JPY).
///
/// On the wire `{"amount":"19.99","currency":"EUR"}`: the amount is a decimal string, never a float, written with
/// exactly the currency's decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why a text is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("the amount is not a decimal number")]
    NotDecimal,
    /// More decimals than the currency has.
    #[error("the amount has more decimals than the currency has")]
    Scale,
    /// Outside what 64 bits of the smallest unit hold.
    #[error("the amount is out of range")]
    Range,
    /// Not an ISO 4217 code in upper case.
    #[error("the currency is not an ISO 4217 code")]
    Currency,
}

impl Money {
    /// `minor` smallest units (cents for EUR).
    pub fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// An amount such as `19.9` in a currency.
    ///
    /// # Errors
    /// [`MoneyError::Scale`] if the amount needs more decimals than the currency has (`19.990 EUR` is fine, `19.999 EUR`
    /// is not), [`MoneyError::Range`] if it does not fit 64 bits.
    pub fn from_decimal(amount: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let amount = amount.normalize();
        let exponent = exponent(currency);
        let spare = exponent.checked_sub(amount.scale()).ok_or(MoneyError::Scale)?;
        let minor = amount
            .mantissa()
            .checked_mul(10_i128.pow(spare))
            .and_then(|minor| i64::try_from(minor).ok())
            .ok_or(MoneyError::Range)?;
        Ok(Self { minor, currency })
    }

    /// The amount in the smallest unit.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The exact amount, at the currency's scale.
    pub fn amount(self) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.minor), exponent(self.currency))
    }

    /// The amount in ten-thousandths of the major unit, the finest that ISO 4217 has: comparable between currencies
    /// of different scales, as an index needs it. `None` if it does not fit 64 bits.
    pub fn ten_thousandths(self) -> Option<i64> {
        self.minor.checked_mul(10_i64.pow(4_u32.saturating_sub(exponent(self.currency))))
    }

    /// The sum; `None` if the currencies differ or the sum does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        (self.currency == other.currency)
            .then(|| self.minor.checked_add(other.minor))
            .flatten()
            .map(|minor| Self { minor, ..self })
    }

    /// `quantity` times this amount; `None` if it does not fit.
    #[must_use]
    pub fn checked_mul(self, quantity: i64) -> Option<Self> {
        self.minor.checked_mul(quantity).map(|minor| Self { minor, ..self })
    }
}

fn exponent(currency: Currency) -> u32 {
    currency.exponent().map_or(0, u32::from)
}

/// The amount alone, at the currency's scale: `19.90`.
struct Amount(Money);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = exponent(self.0.currency);
        let unit = 10_u64.pow(scale);
        let magnitude = self.0.minor.unsigned_abs();
        let sign = if self.0.minor < 0 { "-" } else { "" };
        write!(f, "{sign}{}", magnitude / unit)?;
        if scale > 0 {
            write!(f, ".{:0width$}", magnitude % unit, width = scale as usize)?;
        }
        Ok(())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Amount(*self), self.currency.code())
    }
}

/// The text of an amount: plain decimal digits only, since `Decimal` would also take `1e3` and `1_000`.
fn parse_amount(text: &str) -> Result<Decimal, MoneyError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !plain {
        return Err(MoneyError::NotDecimal);
    }
    Decimal::from_str_exact(text).map_err(|error| match error {
        rust_decimal::Error::ExceedsMaximumPossibleValue => MoneyError::Range,
        rust_decimal::Error::Underflow | rust_decimal::Error::ScaleExceedsMaximumPrecision(_) => {
            MoneyError::Scale
        }
        _ => MoneyError::NotDecimal,
    })
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads `19.99 EUR`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (amount, code) = text.split_once(' ').ok_or(MoneyError::Currency)?;
        Self::from_decimal(parse_amount(amount)?, Currency::from_code(code).ok_or(MoneyError::Currency)?)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        struct Text(Money);
        impl Serialize for Text {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&Amount(self.0))
            }
        }
        let mut out = serializer.serialize_struct("Money", 2)?;
        out.serialize_field("amount", &Text(*self))?;
        out.serialize_field("currency", self.currency.code())?;
        out.end()
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Money", deny_unknown_fields)]
        struct Wire {
            amount: String,
            currency: String,
        }
        let wire = Wire::deserialize(deserializer)?;
        let currency = Currency::from_code(&wire.currency).ok_or(MoneyError::Currency);
        currency
            .and_then(|currency| Self::from_decimal(parse_amount(&wire.amount)?, currency))
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scale_fits_the_currency() {
        assert_eq!("19.990 EUR".parse::<Money>().unwrap().minor(), 1999);
        assert_eq!("19.999 EUR".parse::<Money>(), Err(MoneyError::Scale));
        assert_eq!("100 JPY".parse::<Money>().unwrap().to_string(), "100 JPY");
        assert_eq!("100.5 JPY".parse::<Money>(), Err(MoneyError::Scale));
        assert_eq!("1.234 KWD".parse::<Money>().unwrap().minor(), 1234);
        assert_eq!("92233720368547758.08 EUR".parse::<Money>(), Err(MoneyError::Range));
        for bad in
            ["1e3 EUR", "1_0 EUR", ".5 EUR", "5. EUR", "+5 EUR", " 5 EUR", "1.2.3 EUR", "NaN EUR", "- EUR"]
        {
            assert_eq!(bad.parse::<Money>(), Err(MoneyError::NotDecimal), "{bad}");
        }
        assert_eq!("5 eur".parse::<Money>(), Err(MoneyError::Currency));
    }

    #[test]
    fn a_float_is_refused() {
        assert!(serde_json::from_str::<Money>(r#"{"amount":19.99,"currency":"EUR"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount":"1","currency":"EUR","x":1}"#).is_err());
    }

    proptest! {
        #[test]
        fn the_wire_form_is_exact(minor: i64, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "CLF"])) {
            let money = Money::from_minor(minor, Currency::from_code(code).unwrap());
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
            prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
        }
    }
}
