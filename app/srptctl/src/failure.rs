//! Why srptctl did not do what it was asked to, and its exit codes.

use rpc::{CallError, RpcError};

/// What scripts can tell failures apart by; the man page and `--help` list them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the target refused
  2  the command line is wrong
  3  the target cannot be reached, or did not answer
  4  a file cannot be read or written, or is not what it should be
  5  config diff: the configurations differ
  6  discover: nothing can be asked on the fabric, or nobody answered";

/// A failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}: {}", .0.method, .0.error)]
    Refused(Box<Refusal>),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    NotReached(CallError),
    #[error("{0}")]
    File(String),
    /// What `discover` says.
    #[error("{0}")]
    Fabric(Box<device_management::local::Error>),
    /// What was to be told is told.
    #[error("the configurations differ")]
    Differs,
    /// Nobody reads any more what is printed.
    #[error("standard output is closed")]
    Closed,
}

/// A target's no.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) method: String,
    pub(crate) error: RpcError,
    /// Which arguments the parameters are that the message names.
    pub(crate) arguments: Vec<String>,
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Refused(_) => 1,
            Failure::Usage(_) => 2,
            Failure::NotReached(_) => 3,
            Failure::File(_) => 4,
            Failure::Differs => 5,
            Failure::Fabric(_) => 6,
            Failure::Closed => 0,
        }
    }

    /// A file that cannot be read, or written.
    pub(crate) fn io(path: &std::path::Path, error: &std::io::Error) -> Failure {
        Failure::File(format!("{}: {error}", path.display()))
    }
}

impl From<std::io::Error> for Failure {
    /// Of printing.
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::File(format!("standard output: {error}")),
        }
    }
}
