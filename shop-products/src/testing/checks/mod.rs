//! The checks of the store's suite, one function each. They panic with what is wrong.

mod changes;
mod commits;
mod lists;
mod loads;
mod reservations;
mod use_cases;

pub use changes::*;
pub use commits::*;
pub use lists::*;
pub use loads::*;
pub use reservations::*;
pub use use_cases::*;
