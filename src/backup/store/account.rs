//! Whose object store: the account behind an address, from the variables and files of its ecosystem.
//!
//! `object_store` knows most variables by itself; added here is what the providers' own tools read besides: the
//! profiles of `~/.aws`, Azure's connection strings, Google's variable for emulators. Variables go before files.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::disk::{SharedDisk, durable};

/// Files with credentials are short.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A bucket that can be asked.
pub(super) struct Account {
    pub(super) inner: Arc<dyn ObjectStore>,
    /// Names of objects start with it; without `/` at its ends.
    pub(super) prefix: String,
    /// Words that no message may have.
    pub(super) secrets: Vec<String>,
    /// Where credentials are looked for, in words.
    pub(super) credentials: &'static str,
}

/// A variable of the environment; `None` when it is empty too.
type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Opens the account of `SCHEME://BUCKET[/PREFIX]`.
pub(super) fn open(
    url: &str,
    variable: &Variable<'_>,
    disk: &SharedDisk,
    options: &ClientOptions,
    patience: &RetryConfig,
) -> Result<Account, String> {
    // An earlier choice of the process stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if rest.contains(['@', '?', '#']) {
        return Err("the address has more than a bucket and a prefix: credentials and options \
                    are taken from the environment"
            .to_owned());
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err("the address has no bucket".to_owned());
    }
    let prefix = prefix.trim_matches('/').to_owned();
    let secrets = SECRET_VARIABLES.iter().filter_map(|name| variable(name)).collect();
    let mut account = Place { bucket, variable, disk, options, patience, secrets };
    let (inner, credentials) = match scheme {
        "s3" => (account.s3()?, S3_CREDENTIALS),
        "gs" => (account.google()?, GOOGLE_CREDENTIALS),
        _ => (account.azure()?, AZURE_CREDENTIALS),
    };
    Ok(Account { inner, prefix, secrets: account.secrets, credentials })
}

const SECRET_VARIABLES: [&str; 9] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
];

const S3_CREDENTIALS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for a \
     profile of ~/.aws/credentials, or run where an instance or container role gives them";
const GOOGLE_CREDENTIALS: &str = "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, or run \
     gcloud auth application-default login";
const AZURE_CREDENTIALS: &str = "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with \
     AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN";

struct Place<'a> {
    bucket: &'a str,
    variable: &'a Variable<'a>,
    disk: &'a SharedDisk,
    options: &'a ClientOptions,
    patience: &'a RetryConfig,
    secrets: Vec<String>,
}

fn in_words(error: object_store::Error) -> String {
    error.to_string()
}

/// Whether an address is given without encryption, which is then what its owner wants.
fn is_plain(endpoint: Option<&String>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

impl Place<'_> {
    fn options(&self, endpoint: Option<&String>) -> ClientOptions {
        self.options.clone().with_allow_http(is_plain(endpoint))
    }

    fn s3(&mut self) -> Result<Arc<dyn ObjectStore>, String> {
        let variable = self.variable;
        let profile = self.aws_profile();
        let keep = |name: &str| profile.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
        let endpoint = variable("AWS_ENDPOINT_URL_S3")
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .or_else(|| variable("AWS_ENDPOINT"))
            .or_else(|| keep("endpoint_url"));
        let mut builder = AmazonS3Builder::from_env()
            .with_client_options(self.options(endpoint.as_ref()))
            .with_retry(self.patience.clone())
            .with_bucket_name(self.bucket);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| variable(name));
        if let Some(region) = region.or_else(|| keep("region")) {
            builder = builder.with_region(region);
        }
        let by_itself = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"];
        if by_itself.iter().all(|name| variable(name).is_none())
            && let (Some(id), Some(secret)) =
                (keep("aws_access_key_id"), keep("aws_secret_access_key"))
        {
            builder = builder.with_access_key_id(id).with_secret_access_key(&secret);
            self.secrets.push(secret);
            if let Some(token) = keep("aws_session_token") {
                self.secrets.push(token.clone());
                builder = builder.with_token(token);
            }
        }
        Ok(Arc::new(builder.build().map_err(in_words)?))
    }

    /// What the profile's sections say; the file of credentials goes before that of settings.
    fn aws_profile(&self) -> Vec<(String, String)> {
        let variable = self.variable;
        let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let home = variable("HOME").unwrap_or_default();
        let mut found = Vec::new();
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile.clone()),
            ("AWS_CONFIG_FILE", "config", format!("profile {profile}")),
        ];
        for (name, file, section) in files {
            let path = variable(name).unwrap_or_else(|| format!("{home}/.aws/{file}"));
            let text = durable::read_small(self.disk.as_ref(), &path, FILE_BYTES_MAX);
            let Ok(Some(text)) = text else { continue };
            let text = String::from_utf8_lossy(&text);
            found.extend(section_of(&text, &section));
            if profile == "default" && file == "config" {
                found.extend(section_of(&text, "default"));
            }
        }
        found
    }

    fn google(&self) -> Result<Arc<dyn ObjectStore>, String> {
        let emulator = (self.variable)("STORAGE_EMULATOR_HOST")
            .map(|host| if host.contains("://") { host } else { format!("http://{host}") });
        let endpoint = emulator.clone().or_else(|| (self.variable)("GOOGLE_BASE_URL"));
        let mut builder = GoogleCloudStorageBuilder::from_env()
            .with_client_options(self.options(endpoint.as_ref()))
            .with_retry(self.patience.clone())
            .with_bucket_name(self.bucket);
        if let Some(emulator) = emulator {
            builder =
                builder.with_base_url(emulator.trim_end_matches('/')).with_bearer_token("emulator");
        }
        Ok(Arc::new(builder.build().map_err(in_words)?))
    }

    fn azure(&mut self) -> Result<Arc<dyn ObjectStore>, String> {
        let variable = self.variable;
        let connection = match variable("AZURE_STORAGE_CONNECTION_STRING") {
            Some(text) => connection(&text)?,
            None => Connection::default(),
        };
        let account = connection.account.or_else(|| variable("AZURE_STORAGE_ACCOUNT"));
        let endpoint = connection.endpoint.or_else(|| variable("AZURE_STORAGE_ENDPOINT"));
        let key = connection.key.or_else(|| variable("AZURE_STORAGE_KEY"));
        let mut builder = MicrosoftAzureBuilder::from_env()
            .with_client_options(self.options(endpoint.as_ref()))
            .with_retry(self.patience.clone())
            .with_container_name(self.bucket);
        if let Some(account) = account {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(key) = key {
            self.secrets.push(key.clone());
            builder = builder.with_access_key(key);
        }
        if let Some(sas) = connection.sas {
            self.secrets.push(sas.clone());
            builder = builder.with_config(object_store::azure::AzureConfigKey::SasKey, sas);
        }
        Ok(Arc::new(builder.build().map_err(in_words)?))
    }
}

/// The settings of one section of an INI file, as the tools of AWS write it.
fn section_of(text: &str, section: &str) -> Vec<(String, String)> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            inside = name.split_whitespace().eq(section.split_whitespace());
        } else if inside
            && !trimmed.starts_with(['#', ';'])
            // What is indented belongs to the setting above.
            && !line.starts_with([' ', '\t'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            found.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

/// What a connection string says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Connection {
    account: Option<String>,
    key: Option<String>,
    sas: Option<String>,
    endpoint: Option<String>,
}

fn connection(text: &str) -> Result<Connection, String> {
    let field = |name: &str| {
        let mut fields = text.split(';').filter_map(|field| field.split_once('='));
        fields.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    };
    if field("UseDevelopmentStorage").is_some() {
        return Err(
            "UseDevelopmentStorage in AZURE_STORAGE_CONNECTION_STRING is not known: write \
                    AccountName, AccountKey and BlobEndpoint"
                .to_owned(),
        );
    }
    let account = field("AccountName");
    let made = account.map(|account| {
        let protocol = field("DefaultEndpointsProtocol").unwrap_or("https");
        let suffix = field("EndpointSuffix").unwrap_or("core.windows.net");
        format!("{protocol}://{account}.blob.{suffix}")
    });
    let endpoint = field("BlobEndpoint").map(|end| end.trim_end_matches('/').to_owned()).or(made);
    let (Some(_), Some(endpoint)) =
        (field("AccountKey").or(field("SharedAccessSignature")), endpoint)
    else {
        return Err("AZURE_STORAGE_CONNECTION_STRING has no account or no key".to_owned());
    };
    // An endpoint names the account when the string does not.
    let host = endpoint.split("://").nth(1).and_then(|rest| rest.split('.').next());
    Ok(Connection {
        account: account.or(host).map(str::to_owned),
        key: field("AccountKey").map(str::to_owned),
        sas: field("SharedAccessSignature").map(str::to_owned),
        endpoint: Some(endpoint),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_as_the_tools_of_aws_write_them() {
        let text = "[default]\naws_access_key_id = A\n# no\naws_secret_access_key=B==\n\
                    [profile  other]\nregion = eu-1\ns3 =\n  endpoint_url = inner\nendpoint_url=http://x\n";
        let section = |name: &str| section_of(text, name);
        let of = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            section("default"),
            [of("aws_access_key_id", "A"), of("aws_secret_access_key", "B==")]
        );
        assert_eq!(
            section("profile other"),
            [of("region", "eu-1"), of("s3", ""), of("endpoint_url", "http://x")]
        );
        assert_eq!(section("none"), []);
    }

    #[test]
    fn connection_strings_name_account_key_and_endpoint() {
        let found = connection("AccountName=me;AccountKey=a+b==;EndpointSuffix=core.windows.net");
        let found = found.unwrap();
        assert_eq!(found.key.as_deref(), Some("a+b=="));
        assert_eq!(found.endpoint.as_deref(), Some("https://me.blob.core.windows.net"));
        let found = connection(
            "BlobEndpoint=https://me.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x",
        );
        let found = found.unwrap();
        assert_eq!(
            (found.account.as_deref(), found.sas.as_deref()),
            (Some("me"), Some("sv=1&sig=x"))
        );
        for bad in ["", "AccountName=me", "AccountKey=x", "UseDevelopmentStorage=true"] {
            assert!(connection(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_bucket_and_nothing_secret() {
        let disk: SharedDisk = Arc::new(crate::disk::sim::SimDisk::new());
        let (options, patience) = (ClientOptions::new(), RetryConfig::default());
        let open = |url: &str| open(url, &|_| None, &disk, &options, &patience).map(|at| at.prefix);
        assert_eq!(open("s3://bucket/a/b/"), Ok("a/b".to_owned()));
        assert_eq!(open("s3://bucket"), Ok(String::new()));
        for bad in ["s3://", "s3:///x", "s3://key:secret@bucket", "az://c/p?sig=1"] {
            let error = open(bad).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
