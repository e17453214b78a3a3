//! `braid run` with several processes: on each machine a parent, and its children.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use signal_hook::consts::SIGHUP;

use super::{USAGE, stop_on_signals};
use crate::cluster::{Child, Cluster, SILENCE_MIN, Setup, TlsFiles, addresses, hold, watch};
use crate::runtime::{Plan, RunOptions};
use crate::say;
use crate::serve::Board;

/// Processes of a cluster.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Processes of the cluster, each started with the same options and a -p of its own.
    #[arg(short = 'n', long, default_value_t = 1)]
    processes: usize,
    /// Which process this is, from 0, which reads the sources and writes the results.
    #[arg(short, long, default_value_t = 0)]
    process: usize,
    /// Where processes listen, a line host:port for each; without it ports of this machine from
    /// 2101 on.
    #[arg(long)]
    hostfile: Option<PathBuf>,
    /// Who signs the certificates of all processes (PEM), instead of what the job file says.
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    tls_ca: Option<PathBuf>,
    /// The certificate of this process (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_ca")]
    tls_key: Option<PathBuf>,
    /// Seconds after which a process that says nothing is lost, instead of what the job file says.
    #[arg(long, value_name = "SECONDS")]
    silence: Option<u32>,
    /// For the parent: marks its child.
    #[arg(long, hide = true)]
    child: bool,
}

/// What a process is.
pub(super) enum Role {
    /// The only one.
    Alone,
    /// The parent on a machine.
    Parent,
    /// One of the cluster.
    Child,
}

impl Options {
    pub(super) fn role(&self) -> Role {
        match (self.processes, self.child) {
            (0 | 1, _) => Role::Alone,
            (_, false) => Role::Parent,
            (_, true) => Role::Child,
        }
    }

    /// Whether it reads the sources, or its child does.
    pub(super) fn reads_sources(&self) -> bool {
        self.process == 0
    }

    /// What is wrong with them.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { processes, process, .. } = self;
        if process >= &(*processes).max(1) {
            return Err(format!(
                "-p is {process}, and -n is {processes}; write -p from 0 to {}",
                processes.saturating_sub(1)
            ));
        }
        if self.silence.is_some_and(|s| Duration::from_secs(s.into()) < SILENCE_MIN) {
            return Err("--silence is too short; write 1 or more".to_owned());
        }
        Ok(())
    }

    fn silence(&self, plan: &Plan) -> Duration {
        self.silence.map_or(plan.cluster.silence, |s| Duration::from_secs(s.into()))
    }

    fn setup(&self, plan: &Plan, workers: usize) -> Result<Setup, String> {
        let tls = self.tls_ca.clone().zip(self.tls_cert.clone()).zip(self.tls_key.clone());
        let tls = tls.map(|((ca, cert), key)| TlsFiles { ca, cert, key });
        Ok(Setup {
            processes: self.processes,
            process: self.process,
            workers,
            addresses: addresses(self.hostfile.as_deref(), self.processes)?,
            tls: tls.or_else(|| plan.cluster.tls.clone()),
            silence: self.silence(plan),
            job: plan.hash.clone(),
        })
    }

    /// Starts children until the job is done or can't go on. Gives the exit code.
    pub(super) fn parent(&self, plan: &Plan, workers: usize) -> u8 {
        if let Err(words) = self.setup(plan, workers) {
            say::fail(words);
            return USAGE;
        }
        let restart = Arc::new(AtomicBool::new(false));
        let signals = stop_on_signals().and_then(|stop| {
            signal_hook::flag::register(SIGHUP, Arc::clone(&restart)).map(|_| stop)
        });
        let (stop, program) = match (signals, std::env::current_exe()) {
            (Ok(stop), Ok(program)) => (stop, program),
            (Err(error), _) | (_, Err(error)) => {
                say::fail(format_args!("can't watch over a process: {error}"));
                return 1;
            }
        };
        let (mut arguments, mut first) = (Vec::new(), Vec::new());
        let mut given = std::env::args_os().skip(1);
        while let Some(argument) = given.next() {
            if argument == "--crash-at" {
                first.extend([argument].into_iter().chain(given.next()));
            } else {
                arguments.push(argument);
            }
        }
        arguments.push("--child".into());
        let child = Child {
            program,
            arguments,
            first,
            process: self.process,
            silence: self.silence(plan),
            bounded: plan.is_bounded(),
        };
        watch(&child, &stop, &restart)
    }

    /// In a child: joins the cluster, or ends.
    pub(super) fn join(
        &self,
        plan: &Plan,
        options: RunOptions,
        stop: &Arc<AtomicBool>,
        board: &Arc<Board>,
    ) -> Result<Cluster, u8> {
        let restart = Arc::default();
        let setup = self.setup(plan, options.workers).map_err(|words| {
            say::fail(words);
            USAGE
        })?;
        if let Err(error) = hold(stop, &restart) {
            say::fail(format_args!("--child is for the parent alone: {error}"));
            return Err(USAGE);
        }
        Cluster::form(setup, stop, &restart, board).map_err(|end| {
            say::fail(&end);
            end.code
        })
    }
}
