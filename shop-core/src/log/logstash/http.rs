//! A POST of JSON lines, acknowledged by a 2xx.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::batch::{Progress, Window};
use super::fault::{Fault, within};
use super::stream;
use crate::log::logstash_config::LogstashConfig;
use crate::log::url::LogstashUrl;

/// What is read of an answer; a longer one costs the connection.
const ANSWER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Http {
    sender: SendRequest<Full<Bytes>>,
    connection: AbortHandle,
    host: String,
    path: String,
    authorization: Option<HeaderValue>,
    answer_timeout: Duration,
}

impl Http {
    pub(super) async fn connect(url: &LogstashUrl, config: &LogstashConfig) -> io::Result<Self> {
        let stream = stream::connect(url, config).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Its error is told to the request.
        let connection = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        let authorization = url.user.as_ref().map(|user| {
            let user: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
            let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user)))?;
            value.set_sensitive(true);
            Ok::<_, http::header::InvalidHeaderValue>(value)
        });
        Ok(Self {
            sender,
            connection,
            host: url.authority.clone(),
            path: url.path.clone(),
            authorization: authorization.transpose().map_err(io::Error::other)?,
            answer_timeout: config.ack_timeout.0,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) async fn deliver(&mut self, window: Window<'_>, progress: &mut Progress) -> Result<(), Fault> {
        let body = Bytes::copy_from_slice(window.bytes());
        let mut request = Request::post(&self.path).header(HOST, &self.host);
        request = request.header(CONTENT_TYPE, "application/x-ndjson");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body)).map_err(io::Error::other)?;
        let sender = &mut self.sender;
        let answer = within(self.answer_timeout, "no answer", async {
            sender.ready().await.map_err(io::Error::other)?;
            sender.send_request(request).await.map_err(io::Error::other)
        });
        let (answer, body) = answer.await?.into_parts();
        let rest = Limited::new(body, ANSWER).collect();
        if !matches!(tokio::time::timeout(self.answer_timeout, rest).await, Ok(Ok(_))) {
            self.connection.abort();
        }
        let what = format!("answered with {}", answer.status);
        match answer.status {
            status if status.is_success() => {
                progress.done = window.len();
                Ok(())
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Fault::Refused(what))
            }
            _ => Err(Fault::Later(io::Error::other(what))),
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
