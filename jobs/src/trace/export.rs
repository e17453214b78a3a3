//! The thread that sends traces to the collector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::otlp::{Resource, body};
use super::{Trace, TracePlan};
use crate::say;
use crate::serve::Board;

/// Traces that wait for the collector at most.
const WAITING_MAX: usize = 256;
/// Traces in a request at most.
const REQUEST_TRACES: usize = 64;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Hands traces to the thread; when it is dropped, what waits is sent, if
/// the collector takes it.
#[derive(Debug)]
pub(super) struct Exporter {
    waiting: Option<Sender<Trace>>,
    board: Arc<Board>,
    /// Set when nothing more is to come.
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    pub(super) fn start(
        plan: &TracePlan,
        job: &str,
        generation: u64,
        board: Arc<Board>,
    ) -> Result<Self, String> {
        let fail = |error: &dyn std::fmt::Display| format!("can't send traces: {error}");
        let mut headers = HeaderMap::new();
        for (name, value) in &plan.headers {
            let name = HeaderName::try_from(name).map_err(|e| fail(&e))?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|e| fail(&e))?);
        }
        let ending = Arc::default();
        let client = Client::builder().timeout(ANSWER).default_headers(headers).build();
        let runtime = Builder::new_current_thread().enable_all().build();
        let sending = Sending {
            resource: Resource { job: job.to_owned(), generation },
            url: plan.url.clone(),
            client: client.map_err(|e| fail(&e))?,
            runtime: runtime.map_err(|e| fail(&e))?,
            board: Arc::clone(&board),
            ending: Arc::clone(&ending),
            failing: false,
        };
        let (waiting, traces) = bounded(WAITING_MAX);
        let thread = thread::Builder::new().name("traces".to_owned());
        let thread = thread.spawn(move || sending.run(&traces)).map_err(|e| fail(&e))?;
        Ok(Self { waiting: Some(waiting), board, ending, thread: Some(thread) })
    }

    /// Hands on a trace, or drops it if too many wait.
    pub(super) fn send(&self, trace: Trace) {
        if self.waiting.as_ref().is_none_or(|waiting| waiting.try_send(trace).is_err()) {
            self.drop_one();
        }
    }

    /// An epoch that should be followed is not.
    pub(super) fn drop_one(&self) {
        self.board.figures().traces.dropped += 1;
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        self.waiting = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported already.
            let _ = thread.join();
        }
    }
}

struct Sending {
    resource: Resource,
    url: Url,
    client: Client,
    runtime: Runtime,
    board: Arc<Board>,
    ending: Arc<AtomicBool>,
    /// Whether the last request failed: that is told once.
    failing: bool,
}

impl Sending {
    fn run(mut self, waiting: &Receiver<Trace>) {
        while let Ok(first) = waiting.recv() {
            let more = waiting.try_iter().take(REQUEST_TRACES - 1);
            let traces: Vec<Trace> = std::iter::once(first).chain(more).collect();
            let result = self.post(&traces);
            let count = traces.len() as u64;
            let mut figures = self.board.figures();
            match &result {
                Ok(()) => figures.traces.sent += count,
                Err(_) => figures.traces.dropped += count,
            }
            drop(figures);
            match result {
                Ok(()) => self.failing = false,
                Err(words) if !std::mem::replace(&mut self.failing, true) => {
                    say::note(format_args!("the collector takes no traces: {words}"));
                }
                Err(_) => {}
            }
            if self.failing && self.ending.load(Ordering::Acquire) {
                // A run does not wait for a collector that does not answer.
                self.board.figures().traces.dropped += waiting.try_iter().count() as u64;
                return;
            }
        }
    }

    fn post(&self, traces: &[Trace]) -> Result<(), String> {
        let body = body(&self.resource, traces).to_string();
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let answer = self.runtime.block_on(async { request.body(body).send().await });
        let answer = answer.map_err(|error| {
            // What is wrong stands in the cause of the cause.
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            format!("{}: {cause}", self.url)
        })?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("{}: {status}", self.url)) }
    }
}
