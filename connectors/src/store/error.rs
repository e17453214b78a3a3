//! What is wrong with an object store.

use std::path::PathBuf;

use object_store::Error;
use thiserror::Error;

/// Why an object can't be read or written.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// The URL or an option makes no sense.
    #[error("{url}: {message}")]
    Option {
        /// The place.
        url: String,
        /// The option, if it is one.
        option: Option<String>,
        /// What is wrong, and what to write.
        message: String,
    },
    /// The store does not let us in, or the bucket is not there.
    #[error("{object} is refused: {message}")]
    Refused {
        /// The object, or the place.
        object: String,
        /// What the store says.
        message: String,
    },
    /// The store does not answer, or not as it should.
    #[error("{object} can't be reached: {message}")]
    Away {
        /// The object, or the place.
        object: String,
        /// What the client says.
        message: String,
    },
    /// The object is not there.
    #[error("{object} is not there")]
    Missing {
        /// The object.
        object: String,
    },
    /// The object is too large to be what it is taken for.
    #[error("{object} is larger than a gigabyte")]
    TooLarge {
        /// The object.
        object: String,
    },
    /// A file that is to be sent can't be read.
    #[error("can't read {path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
}

/// What a server answers that has no such place, and whom it does not let in.
const NOT_FOUND: &str = "status code: 404 Not Found";
const REFUSALS: [&str; 2] = ["status code: 403 Forbidden", "status code: 401 Unauthorized"];

impl StoreError {
    /// Whether the job file or the rights have to be changed.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Option { .. } | Self::Refused { .. })
    }

    /// Whether it may be another time: the store does not answer, or no longer lets us in.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Refused { .. })
    }

    /// What the client says of an object.
    pub(super) fn new(object: &str, error: &Error) -> Self {
        let (object, message) = (object.to_owned(), words(error));
        match error {
            Error::NotFound { .. } => Self::Missing { object },
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Self::Refused { object, message }
            }
            // Of a list the client gives the answer's words only.
            Error::Generic { .. } if REFUSALS.iter().any(|words| message.contains(words)) => {
                Self::Refused { object, message }
            }
            _ => Self::Away { object, message },
        }
    }

    fn no_bucket(object: String) -> Self {
        Self::Refused { object, message: "there is no such bucket".to_owned() }
    }

    /// What the client says of a place as a whole.
    pub(super) fn of_place(url: &str, error: &Error) -> Self {
        match Self::new(url, error) {
            Self::Missing { object } => Self::no_bucket(object),
            Self::Away { object, message } if message.contains(NOT_FOUND) => {
                Self::no_bucket(object)
            }
            error => error,
        }
    }
}

/// The innermost words that say why, once.
fn words(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    let mut said = cause.to_string();
    while let Some(source) = cause.source() {
        cause = source;
        let more = cause.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
    }
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}
