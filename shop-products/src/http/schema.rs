//! The schemas of texts, numbers and names, as the validation has them; and descriptions of domain types that know nothing
//! of HTTP.

use std::borrow::Cow;

use shop_core::Currency;
use utoipa::openapi::schema::{AdditionalProperties, KnownFormat, OneOfBuilder, SchemaFormat};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::validate::MAX_EXPIRES_IN;
use crate::{HoldLine, Stock};

/// One line of text: no control character, and something other than spaces.
const LINE: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
const LINES: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";
const SKU: &str =
    r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$";

fn text(description: &str, min: usize, max: usize, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .min_length(Some(min))
        .max_length(Some(max))
        .pattern(Some(pattern))
}

fn number(description: &str, min: i64, max: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some(description))
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(min as f64))
        .maximum(Some(max as f64))
}

fn time(description: &str) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).format(Some(format))
}

fn uuid(description: &str) -> ObjectBuilder {
    let format = SchemaFormat::Custom("uuid".into());
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).format(Some(format))
}

fn names(description: &str, names: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(names.iter().copied()))
}

macro_rules! schemas {
    ($($name:ident as $public:literal: $schema:expr;)*) => {$(
        #[doc = concat!("The schema `", $public, "`.")]
        #[derive(Debug)]
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::Object($schema.build()))
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                $public.into()
            }
        }
    )*};
}

schemas! {
    SkuText as "Sku": text("The seller's own name of a product, unique among products.", 1, 64, SKU);
    NameText as "Name": text("One line of text.", 1, 255, LINE);
    DescriptionText as "Description": text("Text of any number of lines.", 0, 10_000, LINES);
    TagText as "Tag": text("A tag.", 1, 64, LINE);
    ReasonText as "Reason": text("Why.", 1, 255, LINE);
    ReferenceText as "Reference": text("The other system's name of it.", 1, 255, LINE);
    OwnerText as "Owner": text("Who settles a reservation.", 1, 64, LINE);
    KeyText as "IdempotencyKey": ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r#"^([!#-~]{1,255}|"[!#-~]{1,255}")$"#));
    TagsText as "EntityTags": ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r#"^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$"#));
    ProductIdText as "ProductId": uuid("A product's id.");
    ReservationIdText as "ReservationId": uuid("A reservation's id, made by its owner.");
    AdjustmentIdText as "AdjustmentId": uuid("An adjustment's id.");
    TimeText as "Time": time("RFC 3339, UTC, milliseconds.");
    ProductRefText as "ProductRef": ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("A product's id, or `sku:` and its SKU, percent-encoded."))
        .pattern(Some(
            "^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|sku:[A-Za-z0-9_-]([A-Za-z0-9_. -]{0,62}[A-Za-z0-9_-])?)$",
        ));
    Units as "Units": number("Units of a product.", 0, Stock::MAX);
    Quantity as "Quantity": number("Units asked for.", 1, HoldLine::MAX_QUANTITY);
    Requested as "Requested": number("Units asked for, over all lines of a product.", 1, i64::MAX);
    Version as "Version": number("Rises with every change.", 1, i64::MAX);
    ProductStatusName as "ProductStatus":
        names("`active`: for sale. `draft`: not yet. `archived`: no longer.", &["draft", "active", "archived"]);
    ReservationStateName as "ReservationState": names(
        "`held` → `committed` → `fulfilled`; `released` from `held` or `committed`.",
        &["held", "committed", "released", "fulfilled"]
    );
    LineStatusName as "LineStatus": names(
        "`unknown`: no such product. `inactive`: not for sale.",
        &["ok", "insufficient", "unknown", "inactive"]
    );
    AmountText as "Amount": ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("A decimal with no more decimals than its currency has."))
        .pattern(Some(r"^(0|[1-9][0-9]{0,18})(\.[0-9]{1,4})?$"));
    CurrencyCode as "Currency": ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("ISO 4217"))
        .pattern(Some("^[A-Z]{3}$"));
    Seconds as "Seconds": number("Seconds.", 1, MAX_EXPIRES_IN.as_secs() as i64);
    Kept as "Kept": number("Units that stay at most.", 0, i64::MAX);
}

/// Units added; negative takes away; never 0.
#[derive(Debug)]
pub(crate) struct Delta;

impl PartialSchema for Delta {
    fn schema() -> RefOr<Schema> {
        let range = |min, max| number("", min, max).description(None::<String>);
        let both = OneOfBuilder::new().item(range(1, Stock::MAX)).item(range(-Stock::MAX, -1));
        RefOr::T(Schema::OneOf(both.description(Some("Units added; negative takes away.")).build()))
    }
}

impl ToSchema for Delta {
    fn name() -> Cow<'static, str> {
        "Delta".into()
    }
}

/// Which product, and how many.
#[derive(Debug)]
pub(crate) struct LineSchema;

impl PartialSchema for LineSchema {
    fn schema() -> RefOr<Schema> {
        let by = |name: &'static str, product: RefOr<Schema>| {
            ObjectBuilder::new()
                .title(Some(format!("by {name}")))
                .property(name, product)
                .required(name)
                .property("quantity", Quantity::schema())
                .required("quantity")
                .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
        };
        let both = OneOfBuilder::new()
            .item(by("product_id", ProductIdText::schema()))
            .item(by("sku", SkuText::schema()));
        RefOr::T(Schema::OneOf(both.description(Some("Which product, and how many.")).build()))
    }
}

impl ToSchema for LineSchema {
    fn name() -> Cow<'static, str> {
        "Line".into()
    }
}

/// A price as it is sent: the amount has no more decimals than the currency has.
#[derive(Debug)]
pub(crate) struct PriceSchema;

impl PartialSchema for PriceSchema {
    fn schema() -> RefOr<Schema> {
        let mut by_scale: [Vec<String>; 5] = Default::default();
        for code in codes() {
            if let Some(currency) = Currency::from_code(&code) {
                by_scale[usize::from(currency.exponent().unwrap_or(0)).min(4)].push(code);
            }
        }
        let variants = by_scale.into_iter().enumerate().filter(|(_, codes)| !codes.is_empty());
        let one_of = variants.fold(OneOfBuilder::new(), |one_of, (scale, codes)| {
            let pattern = match scale {
                0 => "^(0|[1-9][0-9]{0,13})$".to_owned(),
                n => format!(r"^(0|[1-9][0-9]{{0,13}})(\.[0-9]{{1,{n}}})?$"),
            };
            let amount = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
            let currency = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
            one_of.item(
                ObjectBuilder::new()
                    .title(Some(format!("currencies of {scale} decimals")))
                    .property("amount", amount)
                    .required("amount")
                    .property("currency", currency)
                    .required("currency")
                    .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false))),
            )
        });
        let description = "An exact amount: a decimal string, and an ISO 4217 currency.";
        RefOr::T(Schema::OneOf(one_of.description(Some(description)).build()))
    }
}

impl ToSchema for PriceSchema {
    fn name() -> Cow<'static, str> {
        "Price".into()
    }
}

/// All there could be.
fn codes() -> impl Iterator<Item = String> {
    let letters = b'A'..=b'Z';
    let pairs = letters.clone().flat_map(move |a| letters.clone().map(move |b| (a, b)));
    pairs.flat_map(|(a, b)| (b'A'..=b'Z').map(move |c| [a, b, c].map(char::from).iter().collect()))
}

/// An exact amount of money.
#[derive(Debug, ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "a description of shop_core::Money")]
pub(crate) struct MoneySchema {
    #[schema(value_type = AmountText)]
    amount: String,
    #[schema(value_type = CurrencyCode)]
    currency: String,
}

/// Named attributes of a product: any JSON.
#[derive(Debug)]
pub(crate) struct Attributes;

impl PartialSchema for Attributes {
    fn schema() -> RefOr<Schema> {
        attributes("At most 100, and 16 KiB as JSON.")
    }
}

impl ToSchema for Attributes {
    fn name() -> Cow<'static, str> {
        "Attributes".into()
    }
}

fn attributes(description: &str) -> RefOr<Schema> {
    let names = Schema::Object(text("", 1, 64, LINE).description(None::<String>).build());
    RefOr::T(Schema::Object(
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(description))
            .max_properties(Some(100))
            .property_names(Some(names))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
            .build(),
    ))
}

/// One product of a reservation.
#[derive(Debug, ToSchema)]
#[schema(as = ReservedLine)]
#[expect(dead_code, reason = "a description of ReservedLine")]
pub(crate) struct ReservedLineSchema {
    #[schema(value_type = ProductIdText)]
    product_id: String,
    #[schema(value_type = SkuText)]
    sku: String,
    /// Its name when it was held.
    #[schema(value_type = NameText)]
    name: String,
    /// Units that the reservation has now.
    #[schema(value_type = Units)]
    quantity: i64,
    /// Units that it had when it was held.
    #[schema(value_type = Units)]
    held: i64,
    /// What one unit cost when it was held.
    #[schema(value_type = MoneySchema)]
    unit_price: String,
}

/// The answer to a stock check. An answer, not a promise: only a reservation takes stock.
#[derive(Debug, ToSchema)]
#[schema(as = StockCheck)]
#[expect(dead_code, reason = "a description of StockCheck")]
pub(crate) struct StockCheckSchema {
    /// Whether every line is `ok`.
    available: bool,
    /// The time that the answer is true of.
    #[schema(value_type = TimeText)]
    as_of: String,
    /// One a line asked for, in order.
    lines: Vec<CheckedLineSchema>,
}

/// One line of a stock check's answer.
#[derive(Debug, ToSchema)]
#[schema(as = CheckedLine)]
#[expect(dead_code, reason = "a description of CheckedLine")]
pub(crate) struct CheckedLineSchema {
    /// `null` if a SKU was asked for that is not known.
    #[schema(required, value_type = Option<ProductIdText>)]
    product_id: Option<String>,
    /// `null` if an id was asked for that is not known.
    #[schema(required, value_type = Option<SkuText>)]
    sku: Option<String>,
    /// Units asked for.
    #[schema(value_type = Requested)]
    requested: i64,
    /// Units that can be taken.
    #[schema(value_type = Units)]
    available: i64,
    #[schema(value_type = LineStatusName)]
    status: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Serialize;
    use serde_json::{Value, json};
    use shop_core::{Money, Timestamp};

    use super::*;
    use crate::{
        CheckedLine, LineStatus, ProductId, ProductStatus, ReservationState, ReservedLine, StockCheck,
    };

    fn schema<T: PartialSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()
    }

    /// The description of a type of the domain has its members, no more and no fewer.
    fn same_members<T: PartialSchema>(sample: &impl Serialize) {
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let (schema, sample) = (schema::<T>(), serde_json::to_value(sample).unwrap());
        assert_eq!(names(&schema["properties"]), names(&sample));
        let required: BTreeSet<_> = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(required, names(&sample), "all of them are always there");
    }

    #[test]
    fn descriptions_of_the_domains_types_are_true() {
        let price = Money::from_minor(1, Currency::EUR);
        let (product_id, sku): (_, crate::Sku) = (ProductId::generate(), "A".parse().unwrap());
        let checked = CheckedLine {
            product_id: Some(product_id),
            sku: Some(sku.clone()),
            requested: 1,
            available: 1,
            status: LineStatus::Ok,
        };
        let check =
            StockCheck { available: true, as_of: Timestamp::from_millis(0), lines: vec![checked.clone()] };
        let reserved =
            ReservedLine { product_id, sku, name: "a".into(), quantity: 1, held: 1, unit_price: price };
        same_members::<MoneySchema>(&price);
        same_members::<StockCheckSchema>(&check);
        same_members::<CheckedLineSchema>(&checked);
        same_members::<ReservedLineSchema>(&reserved);
    }

    #[test]
    fn names_are_those_of_the_enums() {
        use {LineStatus as L, ProductStatus as P, ReservationState as R};
        assert_eq!(schema::<ProductStatusName>()["enum"], json!([P::Draft, P::Active, P::Archived]));
        assert_eq!(
            schema::<ReservationStateName>()["enum"],
            json!([R::Held, R::Committed, R::Released, R::Fulfilled])
        );
        assert_eq!(
            schema::<LineStatusName>()["enum"],
            json!([L::Ok, L::Insufficient, L::Unknown, L::Inactive])
        );
    }

    #[test]
    fn a_price_has_as_many_decimals_as_its_currency() {
        let variants = schema::<PriceSchema>()["oneOf"].clone();
        let scale = |code: &str| {
            let has =
                |v: &&Value| v["properties"]["currency"]["enum"].as_array().unwrap().contains(&json!(code));
            let variant = variants.as_array().unwrap().iter().find(has).unwrap();
            variant["title"].as_str().unwrap().to_owned()
        };
        for (code, decimals) in [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)] {
            assert_eq!(scale(code), format!("currencies of {decimals} decimals"));
        }
    }
}
