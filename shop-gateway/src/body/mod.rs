//! Bodies: they stream through, frame by frame, and are never collected.

mod progress;
mod request;
mod response;

pub(crate) use progress::BodyProgress;
pub use request::RequestBody;
pub(crate) use request::{BodyFault, BodyLimits};
pub use response::GatewayBody;

/// An error of any kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
