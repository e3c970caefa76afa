//! Certificates made for the test, and a client that speaks TLS.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use shop_gateway::CertificateConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PATIENCE;

/// An authority, with a folder that all its files are in.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub dir: tempfile::TempDir,
    pub ca: PathBuf,
}

/// Files of a certificate.
#[derive(Debug, Clone)]
pub struct Files {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), dir, ca }
    }

    fn write(&self, file: &str, params: &CertificateParams) -> Files {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files {
            chain: self.dir.path().join(format!("{file}.pem")),
            key: self.dir.path().join(format!("{file}.key")),
        };
        // New files under the old names, as certificates are renewed.
        for (path, text) in [(&files.chain, certificate.pem()), (&files.key, key.serialize_pem())] {
            let fresh = path.with_extension("new");
            std::fs::write(&fresh, text).unwrap();
            std::fs::rename(&fresh, path).unwrap();
        }
        files
    }

    pub fn server(&self, file: &str, names: &[&str]) -> Files {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.write(file, &CertificateParams::new(names).unwrap())
    }

    pub fn client(&self, file: &str, expired: bool) -> Files {
        let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        self.write(file, &params)
    }

    pub fn trusting(&self) -> Client {
        Client { ca: self.ca.clone(), name: "shop.example".to_owned(), own: None, only_1_2: false, alpn: &[] }
    }
}

impl Files {
    pub fn config(&self, names: &[&str]) -> CertificateConfig {
        CertificateConfig {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            chain: self.chain.clone(),
            key: self.key.clone(),
        }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.chain).unwrap()
    }
}

/// How a client connects.
#[derive(Clone)]
pub struct Client {
    pub ca: PathBuf,
    pub name: String,
    pub own: Option<Files>,
    pub only_1_2: bool,
    pub alpn: &'static [&'static [u8]],
}

fn roots(file: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    roots
}

impl Client {
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub fn config(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = if self.only_1_2 { &[&TLS12] } else { &[&TLS13, &TLS12] };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots(&self.ca));
        let mut config = match &self.own {
            Some(own) => builder
                .with_client_auth_cert(vec![own.der()], PrivateKeyDer::from_pem_file(&own.key).unwrap())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    pub async fn connect(&self, addr: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(addr).await?;
        self.handshake(stream).await
    }

    pub async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.name.clone()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(self.config())).connect(name, stream).await
    }

    /// One request on a connection of its own, and the certificate that was shown.
    pub async fn get(
        &self,
        addr: SocketAddr,
        path: &str,
    ) -> io::Result<(Response<Bytes>, CertificateDer<'static>)> {
        let stream = self.connect(addr).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
        let get = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let request = Request::get(path).header("host", &self.name).body(Empty::<Bytes>::new()).unwrap();
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            drop(sender);
            // The server may have closed first.
            let _ = connection.await;
            Ok::<_, hyper::Error>(Response::from_parts(head, body))
        };
        let answer =
            tokio::time::timeout(PATIENCE, get).await.expect("no answer").map_err(io::Error::other)?;
        Ok((answer, shown))
    }

    /// Asks until the certificate that is shown is this one.
    pub async fn until_shown(&self, addr: SocketAddr, files: &Files) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while self.get(addr, "/").await.unwrap().1 != files.der() {
            assert!(tokio::time::Instant::now() < until, "the old certificate is still shown");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
