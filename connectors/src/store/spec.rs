//! Which store, and how it is reached.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::StoreError;

/// A request is usually repeated for so long. Whoever waits for it tries again later, or is told.
const PATIENCE: Duration = Duration::from_secs(15);

/// A place in an object store.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreSpec {
    /// `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    pub url: String,
    /// Options as the crate `object_store` names them. What stands in neither is taken from the
    /// environment, as `AWS_ACCESS_KEY_ID`.
    pub options: BTreeMap<String, String>,
    /// For how long a request is repeated.
    pub patience: Duration,
}

/// Options may be secret.
impl fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        f.debug_struct("StoreSpec")
            .field("url", &self.url)
            .field("options", &options)
            .finish_non_exhaustive()
    }
}

/// A builder with what environment, URL and options say.
macro_rules! build {
    ($spec:expr, $builder:ty, $key:ty) => {{
        let mut builder = <$builder>::from_env().with_url(&$spec.url).with_retry($spec.retry());
        for (name, value) in &$spec.options {
            let key = name.to_lowercase().parse::<$key>();
            let key = key.map_err(|_| $spec.unknown(name))?;
            builder = builder.with_config(key, value);
        }
        let store = builder.build().map_err(|e| $spec.wrong(None, &e.to_string()))?;
        Arc::new(store) as Arc<dyn ObjectStore>
    }};
}

impl StoreSpec {
    /// A place with usual patience.
    pub fn new(url: &str, options: BTreeMap<String, String>) -> Self {
        Self { url: url.to_owned(), options, patience: PATIENCE }
    }

    /// Whether it can be meant, without connecting.
    ///
    /// # Errors
    ///
    /// [`StoreError::Option`] says what is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        self.build().map(|_| ())
    }

    fn wrong(&self, option: Option<&str>, message: &str) -> StoreError {
        let (url, option) = (self.url.clone(), option.map(str::to_owned));
        StoreError::Option { url, option, message: message.to_owned() }
    }

    fn unknown(&self, option: &str) -> StoreError {
        let usual = "write one that the crate object_store names, such as aws_region";
        self.wrong(Some(option), &format!("there is no option {option:?}; {usual}"))
    }

    fn retry(&self) -> RetryConfig {
        let backoff = BackoffConfig { max_backoff: self.patience / 4, ..BackoffConfig::default() };
        RetryConfig { backoff, retry_timeout: self.patience, ..RetryConfig::default() }
    }

    /// The store, and the place's path in it.
    pub(super) fn build(&self) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
        let usual = "write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";
        let url = Url::parse(&self.url).map_err(|e| self.wrong(None, &format!("{e}; {usual}")))?;
        let unknown = || self.wrong(None, &format!("it names no object store; {usual}"));
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
        let store = match scheme {
            ObjectStoreScheme::AmazonS3 => build!(self, AmazonS3Builder, AmazonS3ConfigKey),
            ObjectStoreScheme::GoogleCloudStorage => {
                build!(self, GoogleCloudStorageBuilder, GoogleConfigKey)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                build!(self, MicrosoftAzureBuilder, AzureConfigKey)
            }
            _ => return Err(unknown()),
        };
        Ok((store, prefix))
    }
}
