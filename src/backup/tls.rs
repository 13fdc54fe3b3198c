//! TLS to a server at `rediss://`, with the options of redis-cli.
//!
//! Trusted are the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), or those that the caller names and
//! no others. Without the cargo feature `tls` it says so.

/// How a server's certificate is judged, and what we show it.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Certificates of the authorities that are trusted, as PEM; `None`: the system's.
    pub authorities: Option<Vec<u8>>,
    /// Our own certificate with its chain, and its key, as PEM.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
    /// Whatever the server shows is taken.
    pub insecure: bool,
    /// The name that is sent and that the certificate must have, where it is not the address' host.
    pub name: Option<String>,
}

impl std::fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = self.own.is_some();
        write!(f, "TlsOptions(own {own}, insecure {}, name {:?})", self.insecure, self.name)
    }
}

#[cfg(not(feature = "tls"))]
mod imp {
    use std::net::TcpStream;

    use super::TlsOptions;

    /// Never made.
    pub(in crate::backup) type TlsStream = TcpStream;

    pub(in crate::backup) fn wrap(
        _: TcpStream,
        _: &str,
        _: &TlsOptions,
    ) -> Result<TlsStream, String> {
        Err("this program was built without TLS: build it with the cargo feature tls".to_owned())
    }
}

#[cfg(feature = "tls")]
mod imp {
    use std::net::TcpStream;
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::{
        ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
        StreamOwned,
    };

    use super::TlsOptions;

    /// A connection inside TLS.
    pub(in crate::backup) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

    /// Shakes hands with the server at the other end.
    pub(in crate::backup) fn wrap(
        mut stream: TcpStream,
        host: &str,
        options: &TlsOptions,
    ) -> Result<TlsStream, String> {
        let name = options.name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("{name:?} is no name that a certificate can have"))?;
        let config = Arc::new(config(options)?);
        let mut connection =
            ClientConnection::new(config, name).map_err(|error| error.to_string())?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| in_words(&error))?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    fn in_words(error: &std::io::Error) -> String {
        let text = format!("TLS: {error}");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(_)) => format!(
                "{text}: pass --cacert FILE with the certificate of its authority, or --sni NAME if it has another \
                 name, or --insecure"
            ),
            _ => text,
        }
    }

    fn config(options: &TlsOptions) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match options.insecure {
            true => {
                let any = Arc::new(AnyCertificate(provider));
                builder.dangerous().with_custom_certificate_verifier(any)
            }
            false => builder.with_root_certificates(roots(options)?),
        };
        let Some((certificates, key)) = &options.own else {
            return Ok(builder.with_no_client_auth());
        };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("the file of --key has no usable key: {error}"))?;
        builder
            .with_client_auth_cert(certificates_in(certificates, "--cert")?, key)
            .map_err(|error| format!("--cert and --key: {error}"))
    }

    fn certificates_in(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(format!("the file of {what} has no certificate")),
            Err(error) => Err(format!("the file of {what}: {error}")),
        }
    }

    fn roots(options: &TlsOptions) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &options.authorities {
            Some(pem) => {
                for certificate in certificates_in(pem, "--cacert")? {
                    roots.add(certificate).map_err(|error| format!("--cacert: {error}"))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    let why = found.errors.first().map(|error| format!(" ({error})"));
                    return Err(format!(
                        "this machine has no trusted certificates{}: pass --cacert FILE",
                        why.unwrap_or_default()
                    ));
                }
            }
        }
        Ok(roots)
    }

    /// Takes every certificate, but has its owner prove that it is his.
    #[derive(Debug)]
    struct AnyCertificate(Arc<CryptoProvider>);

    impl ServerCertVerifier for AnyCertificate {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signed, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signed, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

pub(super) use imp::{TlsStream, wrap};
