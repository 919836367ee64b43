//! TLS in front of a server that speaks HTTP/2 without it.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// HTTP/2 by the name that TLS has for it (RFC 9113, section 3.2).
const H2: &[u8] = b"h2";

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Forwards from a free loopback port, where it speaks TLS with a certificate that nobody knows. It lets nothing but
/// HTTP/2 pass: who got an answer through it has spoken that. Drop it to end all its connections.
pub struct TlsTerminator {
    pub address: SocketAddr,
    accepting: AbortHandle,
}

impl TlsTerminator {
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let acceptor = TlsAcceptor::from(Arc::new(config().await));
        let accepting = tokio::spawn(accept(listener, acceptor, target)).abort_handle();
        Self { address, accepting }
    }
}

impl Drop for TlsTerminator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn config() -> ServerConfig {
    let pem = certificate_and_key().await;
    let certificate = CertificateDer::from_pem_slice(&pem).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&pem).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate for its key");
    config.alpn_protocols = vec![H2.to_vec()];
    // A client can read no record before it has all of it: in small ones, what comes before a cut is not lost with it.
    config.max_fragment_size = Some(512);
    // Who comes back shakes hands in full again: a cut after so many bytes is at the same place each time.
    config.send_tls13_tickets = 0;
    config
}

/// Made anew each time, for the next two days: no key is kept in the repository.
async fn certificate_and_key() -> Vec<u8> {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
                     -addext subjectAltName=IP:127.0.0.1 -keyout - -out -";
    let openssl = Command::new("openssl").args(arguments.split(' ')).output().await;
    let openssl = openssl.expect("cannot start openssl");
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    openssl.stdout
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, target: SocketAddr) {
    let mut open = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        // A connection that breaks off is what the tests are about.
        open.spawn(forward(client, acceptor.clone(), target));
        while open.try_join_next().is_some() {}
    }
}

async fn forward(client: TcpStream, acceptor: TlsAcceptor, target: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    let mut start = [0; PREFACE.len()];
    client.read_exact(&mut start).await?;
    if client.get_ref().1.alpn_protocol() != Some(H2) || start != PREFACE {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    server.write_all(&start).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
