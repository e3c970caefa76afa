//! Words, the same for every store: what is searched is cut into words here, so that no store has an idea of its own.

use crate::{Product, store::ProductQuery};

/// Runs of letters and digits, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// The words by which a product is found.
pub(crate) fn words_of(product: &Product) -> Vec<String> {
    let details = &product.details;
    let texts = [details.name.as_str(), details.sku.as_str(), details.description.as_str()];
    let mut found: Vec<String> =
        texts.into_iter().chain(details.tags.iter().map(String::as_str)).flat_map(words).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The words of a query; the last one may be the beginning of a word. Empty if there is nothing to look for.
pub(crate) fn words_asked(query: &ProductQuery) -> Vec<String> {
    query.text.as_deref().map(|text| words(text).collect()).unwrap_or_default()
}

/// Whether a product has these words of a query.
pub(crate) fn has_words(product: &Product, asked: &[String]) -> bool {
    let Some((last, whole)) = asked.split_last() else { return true };
    let words = words_of(product);
    whole.iter().all(|word| words.binary_search(word).is_ok())
        && words.iter().any(|word| word.starts_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits() {
        let found: Vec<_> = words("Crème-brûlée, 2.5l (ÄÖ)").collect();
        assert_eq!(found, ["crème", "brûlée", "2", "5l", "äö"]);
    }
}
