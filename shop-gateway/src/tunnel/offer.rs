//! What of an upgrade goes to the upstream, and whether its answer is one.

use http::header::{self, HeaderValue};
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;

use super::Tunnel;
use crate::body::{GatewayBody, RequestBody};
use crate::config::UpgradeConfig;
use crate::headers::{BadResponse, clean_switching};
use crate::upstream::{NetworkBodyParts, Pool};

/// An upgrade that the upstream is asked for.
pub(crate) struct Offer {
    protocols: Vec<String>,
    client: OnUpgrade,
}

fn protocols(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

impl Offer {
    /// Puts into the request those of the protocols asked for that the route allows. None if there is none, or if the server
    /// has no way to hand over the client's connection; the request is then an ordinary one.
    pub(crate) fn make(
        req: &mut Request<RequestBody>,
        asked: &HeaderValue,
        config: &UpgradeConfig,
    ) -> Option<Self> {
        let client = req.extensions_mut().remove::<OnUpgrade>()?;
        let allowed = |name: &&str| config.protocols.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        let protocols: Vec<_> = protocols(asked).filter(allowed).map(str::to_owned).collect();
        if protocols.is_empty() {
            return None;
        }
        let headers = req.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::try_from(protocols.join(", ")).ok()?);
        headers.insert(header::CONNECTION, const { HeaderValue::from_static("upgrade") });
        Some(Self { protocols, client })
    }

    /// The upstream's 101 made the client's: its body holds the tunnel.
    ///
    /// # Errors
    /// When it is not to what was offered.
    pub(crate) fn accept<P: Pool>(
        self,
        mut res: Response<hyper::body::Incoming>,
        parts: NetworkBodyParts<P>,
        config: &UpgradeConfig,
    ) -> Result<Response<GatewayBody<P>>, BadResponse> {
        let chosen = res.headers().get(header::UPGRADE).cloned().ok_or(BadResponse::SwitchingProtocols)?;
        let offered = |name: &str| self.protocols.iter().any(|offered| offered.eq_ignore_ascii_case(name));
        if !protocols(&chosen).all(offered) {
            return Err(BadResponse::SwitchingProtocols);
        }
        clean_switching(&mut res, chosen)?;
        let (upstream, begun) = parts.into_socket().ok_or(BadResponse::SwitchingProtocols)?;
        let tunnel = Tunnel {
            upstream,
            begun,
            idle_timeout: config.idle_timeout.0,
            client: Some(self.client),
            access: None,
        };
        Ok(res.map(|_| GatewayBody::tunnel(tunnel)))
    }
}
