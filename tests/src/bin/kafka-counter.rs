//! Runs a [`braid_tests::kafka::Counter`] until it is killed. Ends with 4 when a newer run has
//! taken over.

use std::process::ExitCode;
use std::time::Duration;

use braid_tests::kafka::Counter;
use connectors::bindings::BindingError;
use connectors::kafka::KafkaError;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, input, job, timeout_ms] = &arguments[..] else {
        eprintln!("kafka-counter BROKERS INPUT JOB TRANSACTION_TIMEOUT_MS");
        return ExitCode::from(2);
    };
    let counter = Counter {
        brokers: brokers.clone(),
        input: input.clone(),
        job: job.clone(),
        transaction_timeout: Duration::from_millis(timeout_ms.parse().unwrap_or(10_000)),
    };
    let Err(error) = counter.run() else { return ExitCode::SUCCESS };
    eprintln!("{error}");
    let kafka = match error.downcast_ref::<BindingError>() {
        Some(BindingError::Kafka(error)) => Some(error),
        _ => error.downcast_ref::<KafkaError>(),
    };
    ExitCode::from(if kafka.is_some_and(KafkaError::is_fenced) { 4 } else { 1 })
}
