//! The options of `rediss://` addresses, with redis-cli's names.

use super::terms::{FILE_BYTES_MAX, anywhere};
use crate::backup::BackupError;
use crate::backup::tls::TlsOptions;
use crate::disk::durable;

/// For servers at rediss:// addresses.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub(crate) struct TlsArgs {
    /// Trust servers with a certificate of these authorities (PEM) and no others, instead of the system's.
    #[arg(long, value_name = "FILE", help_heading = "Servers at rediss:// addresses")]
    cacert: Option<String>,
    /// Our own certificate (PEM), for servers that ask for one.
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        help_heading = "Servers at rediss:// addresses"
    )]
    cert: Option<String>,
    /// The key of --cert (PEM, not encrypted).
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        help_heading = "Servers at rediss:// addresses"
    )]
    key: Option<String>,
    /// Trust whatever certificate the server has.
    #[arg(long, help_heading = "Servers at rediss:// addresses")]
    insecure: bool,
    /// The name in the server's certificate, where it is not the address' host.
    #[arg(long, value_name = "NAME", help_heading = "Servers at rediss:// addresses")]
    sni: Option<String>,
}

impl TlsArgs {
    /// With what is in the files.
    pub(crate) fn options(&self) -> Result<TlsOptions, BackupError> {
        let read = |path: &String| {
            let bytes = durable::read_small(anywhere().as_ref(), path, FILE_BYTES_MAX)?;
            bytes.ok_or_else(|| {
                BackupError::refused(format!("there is no {path}"), "name a file in the form PEM")
            })
        };
        let own = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            _ => None,
        };
        Ok(TlsOptions {
            authorities: self.cacert.as_ref().map(read).transpose()?,
            own,
            insecure: self.insecure,
            name: self.sni.clone(),
        })
    }
}
