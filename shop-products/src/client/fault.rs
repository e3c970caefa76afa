use crate::CatalogError;

/// Why products gave no answer that can be used. The source of a [`CatalogError::Unavailable`] that a client gives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientFault {
    /// Too many attempts failed: nothing more was sent. The source of a [`CatalogError::NotSent`] if nothing was sent at all.
    #[error("products are not asked for now, since they gave no answer lately")]
    Open,
    /// No connection, or it broke off.
    #[error("the request failed")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("products did not answer in time")]
    Timeout,
    /// A gateway or server error.
    #[error("products answered with status {0}")]
    Status(u16),
    /// Products answered that there is no such thing.
    #[error("products do not know it")]
    NotFound,
    /// The answer is longer than is taken.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// The answer is not what it should be.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
}

impl ClientFault {
    /// Whether the same request may well be answered the next time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_) | Self::Timeout => true,
            Self::Status(status) => matches!(status, 408 | 409 | 425 | 429 | 500 | 502 | 503 | 504),
            // An open breaker stays open for a while, and an answer of the wrong size or shape will be so again.
            Self::Open | Self::NotFound | Self::TooLarge(_) | Self::Unreadable(_) => false,
        }
    }
}

impl From<ClientFault> for CatalogError {
    fn from(fault: ClientFault) -> Self {
        Self::Unavailable(Box::new(fault))
    }
}
