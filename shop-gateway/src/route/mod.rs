//! Routing: pure, no I/O.
//!
//! Of all routes that match a request, the best wins, by this order and never by position:
//!
//! 1. an exact host before a wildcard, a wildcard before none; of two wildcards the longer;
//! 2. the longer path;
//! 3. a route that names the method before one that takes any;
//! 4. the route that asks for more headers;
//! 5. what is left (two routes that ask for different headers, both there): the one that comes first.
//!
//! A request that some route would match but for its method gets 405 with `Allow`; any other miss is 404.

mod host;
mod path;
mod summary;
mod table;

pub(crate) use path::has_dot_segment;
pub use summary::Summary;
pub use table::{Lookup, RouteQuery, RouteTable};
