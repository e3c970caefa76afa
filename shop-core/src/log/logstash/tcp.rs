//! JSON lines over TCP. The receiver never says what it has got, so what is written when it goes away is lost.

use std::io;

use super::batch::{Progress, Window};
use super::fault::Fault;
use super::stream::Stream;
use crate::log::logstash_config::LogstashConfig;
use crate::log::url::LogstashUrl;

#[derive(Debug)]
pub(super) struct Tcp(Stream);

impl Tcp {
    pub(super) async fn connect(url: &LogstashUrl, config: &LogstashConfig) -> io::Result<Self> {
        Stream::connect(url, config).await.map(Self)
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// A window that fails is sent again as a whole: rather twice than half.
    pub(super) async fn deliver(&mut self, window: Window<'_>, progress: &mut Progress) -> Result<(), Fault> {
        self.0.write_all(window.bytes()).await?;
        progress.done = window.len();
        Ok(())
    }
}
