use super::*;

fn span(name: &str, parent: Option<usize>, times: (Nanos, Nanos)) -> Span {
    let (name, (begun, ended)) = (name.to_owned(), times);
    Span { name, parent, begun, ended, numbers: Vec::new() }
}

/// Nobody listens there.
fn plan(every: Duration) -> TracePlan {
    let url = Url::parse("http://127.0.0.1:9/v1/traces").unwrap();
    TracePlan { url, every, headers: Vec::new() }
}

fn start(every: Duration, board: &Arc<Board>) -> Tracer {
    let outputs = ["a", "b"].map(str::to_owned);
    Tracer::start(Some(&plan(every)), ("shop", 3), outputs, board).unwrap()
}

#[test]
fn the_body_is_as_the_protocol_says() {
    let resource = otlp::Resource { job: "shop".to_owned(), generation: 3 };
    let mut whole = span("epoch", None, (1_700_000_000_000_000_000, 1_700_000_000_000_000_009));
    whole.numbers.push(("braid.epoch", u64::MAX));
    let spans = vec![whole, span("bind", Some(0), (1_700_000_000_000_000_001, 2))];
    let body = otlp::body(&resource, &[Trace { epoch: 5, spans }]);
    let group = &body["resourceSpans"][0];
    let attribute = |list: &serde_json::Value, key: &str| {
        let list = list.as_array().unwrap();
        list.iter().find(|of| of["key"] == key).map(|of| of["value"].clone()).unwrap()
    };
    let resource = &group["resource"]["attributes"];
    assert_eq!(attribute(resource, "service.name")["stringValue"], "braid");
    assert_eq!(attribute(resource, "braid.generation")["intValue"], "3");
    let spans = group["scopeSpans"][0]["spans"].as_array().unwrap();
    let (whole, bind) = (&spans[0], &spans[1]);
    assert_eq!(whole["startTimeUnixNano"], "1700000000000000000");
    assert_eq!(attribute(&whole["attributes"], "braid.epoch")["intValue"], u64::MAX.to_string());
    assert_eq!((&whole["parentSpanId"], &whole["kind"]), (&"".into(), &1.into()));
    assert_eq!((&bind["parentSpanId"], &bind["traceId"]), (&whole["spanId"], &whole["traceId"]));
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
    };
    assert!(is_hex(whole["traceId"].as_str().unwrap(), 32));
    assert!(is_hex(bind["spanId"].as_str().unwrap(), 16) && bind["spanId"] != whole["spanId"]);
}

/// An epoch is followed until its last output has it; each output counts once.
#[test]
fn an_epoch_is_followed_to_its_last_output() {
    let board = Arc::default();
    let tracer = start(Duration::ZERO, &board);
    let inner = tracer.0.clone().unwrap();
    assert!(tracer.wants() && tracer.wants());
    let now = clock();
    tracer.bound(4, 7, (now, now + 1), (now + 1, now + 2));
    tracer.decoded(4);
    tracer.admitted(4);
    tracer.decoded(5);
    tracer.committed("a", 9, (now + 5, now + 6));
    assert_eq!(inner.followed()[&4].outputs.len(), 2, "what is not closed is not committed");
    tracer.closed(4);
    tracer.committed("a", 3, (clock(), clock()));
    tracer.committed("a", 4, (clock(), clock()));
    tracer.committed("a", 5, (clock(), clock()));
    let spans = inner.followed()[&4].trace.spans.clone();
    let named: Vec<(&str, Option<&str>)> = spans
        .iter()
        .map(|span| (&*span.name, span.parent.map(|place| &*spans[place].name)))
        .collect();
    let expected = [
        ("epoch", None),
        ("read", Some("epoch")),
        ("bind", Some("epoch")),
        ("compute", Some("epoch")),
        ("decode", Some("compute")),
        ("admit", Some("compute")),
        ("publish a", Some("epoch")),
        ("commit", Some("publish a")),
    ];
    assert_eq!(named, expected);
    for span in &spans {
        let parent = span.parent.map_or(span, |place| &spans[place]);
        assert!(parent.begun <= span.begun && span.ended <= parent.ended, "{span:?} in {parent:?}");
        assert!(span.begun <= span.ended);
    }
    tracer.committed("b", 4, (clock(), clock()));
    assert!(inner.followed().is_empty());
    assert_eq!(inner.count.load(Ordering::Acquire), 0);
    drop((tracer, inner));
    let traces = board.figures().traces;
    assert_eq!((traces.sent, traces.dropped), (0, 1), "there is no collector");
}

#[test]
fn what_does_not_fit_is_dropped() {
    let board = Arc::default();
    let tracer = start(Duration::from_hours(1), &board);
    assert!(tracer.wants() && !tracer.wants());
    for epoch in 0..FOLLOWED_MAX as u64 + 10 {
        tracer.bound(epoch, 1, (0, 0), (0, 0));
    }
    assert_eq!(board.figures().traces.dropped, 10);
    assert!(!Tracer::default().wants());
}
