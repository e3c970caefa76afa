//! Words as PostgreSQL finds them: a text search vector of the words that [`text`] cuts, so that the server's own idea of
//! words has no say.

use crate::Product;
use crate::store::{ProductQuery, text};

/// The most bytes of a word that the index keeps; PostgreSQL has 2,046 for a lexeme.
const MOST: usize = 1_024;

fn cut(word: &str) -> &str {
    &word[..word.floor_char_boundary(MOST)]
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// The words of a product, cut; and those that were cut, whole. With blanks between, which no word has.
pub(super) fn of(product: &Product) -> (String, Option<String>) {
    let words = text::words_of(product);
    let long = joined(words.iter().filter(|word| word.len() > MOST).map(String::as_str));
    (joined(words.iter().map(|word| cut(word))), (!long.is_empty()).then_some(long))
}

/// What a query asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// As `tsquery` has it. Words are letters and digits only, so that quotes around them are all that they need.
    pub(super) expression: String,
    /// Those that the index has only the beginning of.
    pub(super) long: Vec<String>,
    /// The last word, if the index has only its beginning.
    pub(super) long_beginning: Option<String>,
}

impl Asked {
    pub(super) fn by(query: &ProductQuery) -> Option<Self> {
        let words = text::words_asked(query);
        let (last, whole) = words.split_last()?;
        let mut expression = String::new();
        for word in whole {
            expression.push_str(&format!("'{}' & ", cut(word)));
        }
        expression.push_str(&format!("'{}':*", cut(last)));
        let long = whole.iter().filter(|word| word.len() > MOST).cloned().collect();
        Some(Self { expression, long, long_beginning: (last.len() > MOST).then(|| last.clone()) })
    }
}
