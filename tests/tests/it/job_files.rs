//! What is said about a bad job file: the line, what is wrong, what to write. `job_files.golden`
//! has the files and the messages.

use std::fmt::Write as _;

use jobs::runtime::plan;
use operators::identity::testing::Seeded;

use crate::support::Job;

const GOLDEN: &str = include_str!("job_files.golden");

const BASE: &str = r#"[job]
name = "j"
out = "out"
[[source]]
name = "s"
connector = "file"
path = "a.ndjson"
"#;

/// A job file beside its source.
fn job(text: &str) -> Job {
    let job = Job::new(text);
    job.write("a.ndjson", "{\"messageId\":\"1\",\"timestamp\":\"2026-01-01T00:00:00Z\"}\n");
    job
}

/// What is said about a job, without the folder.
fn said(job: &Job) -> Vec<String> {
    let Err(problems) = plan::load(&job.folder().join("job.toml")) else { return Vec::new() };
    assert!(!problems.is_empty(), "a job that is not good has a problem");
    let folder = job.folder().to_string_lossy().into_owned();
    let line = |p: &jobs::runtime::job_file::Problem| {
        p.to_string().replace(&format!("{folder}/"), "").replace(&folder, "FOLDER")
    };
    problems.iter().map(line).collect()
}

/// Title, text and messages of each part of the golden file.
fn parts() -> Vec<(&'static str, String, Vec<String>)> {
    let parts = GOLDEN.split("---- ").skip(1);
    let part = |part: &'static str| {
        let (title, rest) = part.split_once('\n').unwrap();
        let (mut text, mut said) = (String::new(), Vec::new());
        for line in rest.lines() {
            match line.strip_prefix("=> ") {
                Some(message) => said.push(message.to_owned()),
                None if line == "@base" => text.push_str(BASE),
                None => writeln!(text, "{line}").unwrap(),
            }
        }
        (title, text, said)
    };
    parts.map(part).collect()
}

#[test]
fn every_bad_job_file_has_its_message() {
    let (mut wrong, mut now) = (0, String::new());
    for (title, text, expected) in parts() {
        let said = said(&job(&text));
        wrong += usize::from(said != expected);
        let text = text.replace(BASE, "@base\n");
        write!(now, "---- {title}\n{text}").unwrap();
        said.iter().for_each(|message| writeln!(now, "=> {message}").unwrap());
    }
    assert!(wrong == 0, "{wrong} parts are other than expected. All as they are now:\n{now}");
}

#[test]
fn the_command_says_it_and_ends_with_2() {
    let job = job("[job]\nname = \"j\"\nout = \"out\"\n[[sources]]\n");
    for verb in ["run", "check", "status"] {
        let output = job.command(verb).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{verb}");
        assert_eq!(output.stdout, b"", "{verb}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("job.toml:4: there is no key `sources` here; did you mean `source`?")
        );
        assert_eq!(said.lines().count(), 1, "one thing is wrong: {said}");
    }
    assert!(!job.out().exists(), "nothing is written");
}

#[test]
fn a_job_file_that_is_not_there() {
    let job = job("");
    std::fs::remove_file(job.folder().join("job.toml")).unwrap();
    let output = job.execute(&[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("job.toml: can't read it: No such file"), "{said}");
    assert!(said.contains("write the path of a job file"), "{said}");
}

#[test]
fn unknown_options_end_with_2() {
    let output = job(BASE).execute(&["--wrokers", "2"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--workers"), "{said}");
}

#[test]
fn the_environment_is_put_in() {
    let job = job(&BASE.replace("a.ndjson", "${BRAID_TEST_NAME}.ndjson"));
    let output = job.command("run").env("BRAID_TEST_NAME", "a").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(job.table("events").rows.len(), 1);
}

#[test]
fn an_erased_list_has_its_lines() {
    let job = job(&format!("{BASE}[identity]\nerased = \"erased\"\n"));
    let lines = [
        r#"{"type": "email", "value": "a@b.c"}"#,
        "",
        r#"{"type": "mail", "value": "a@b.c"}"#,
        r#"{"messageId": "1", "tenant": "acme"}"#,
        r#"{"messageId": "1", "type": "email"}"#,
        r#"{"message_id": "1"}"#,
        "erase me",
    ];
    job.write("erased", lines.join("\n"));
    let said = said(&job);
    let begins = [
        "\"erased\" line 3: no",
        "\"erased\" line 5: write {\"type\": \"email\"",
        "\"erased\" line 6: unknown field",
        "\"erased\" line 7: expected value",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (said, begin) in said.iter().zip(begins) {
        assert!(said.starts_with(&format!("job.toml:9: {begin}")), "{said}");
    }
}

/// Layout and comments are no change of the job, nor is where the results go; all else is.
#[test]
fn the_hash_is_of_what_the_job_says() {
    let hash = |text: &str| job(text).plan().hash;
    let first = hash(BASE);
    let same = [
        format!("# A comment\n\n{}", BASE.replace(" = ", "=")),
        BASE.replace("\"out\"", "\"elsewhere\"\nepoch_records = 3"),
        BASE.replace("name = \"s\"\nconnector = \"file\"", "connector = 'file'\nname = \"s\""),
    ];
    for text in same {
        assert_eq!(hash(&text), first, "{text}");
    }
    let other = [
        BASE.replace("name = \"j\"", "name = \"k\""),
        BASE.replace("a.ndjson", "*.ndjson"),
        format!("{BASE}[[view]]\nkind = \"sessions\"\n"),
        format!("{BASE}[time]\ndisorder = \"1h\"\n"),
    ];
    for text in other {
        assert_ne!(hash(&text), first, "{text}");
    }
}

/// What a schema says counts, also in a file that it imports; its name alone does not say it.
#[test]
fn the_hash_is_of_what_schemas_say() {
    let text = |schema: &str| {
        format!(
            "[job]\nname = \"j\"\nout = \"out\"\n[[source]]\nname = \"s\"\n\
             connector = \"kafka\"\nbrokers = \"localhost:1\"\ntopics = [\"t\"]\n\
             schema = {schema:?}\n"
        )
    };
    let record = |field: &str| {
        format!(
            "{{\"type\":\"record\",\"name\":\"R\",\"fields\":\
             [{{\"name\":{field:?},\"type\":\"string\"}}]}}"
        )
    };
    let job = Job::new(&text("event.avsc"));
    let hash = |schema: &str| {
        job.write("event.avsc", schema);
        job.plan().hash
    };
    let first = hash(&record("messageId"));
    assert_ne!(hash(&record("message_id")), first);
    assert_eq!(hash(&record("messageId")), first);

    let job = Job::new(&text("event.proto"));
    let hash = |event: &str, money: &str| {
        let begin = "syntax = \"proto3\";\n";
        job.write("event.proto", format!("{begin}import \"money.proto\";\n{event}"));
        job.write("money.proto", format!("{begin}{money}"));
        job.plan().hash
    };
    let event = "message Event { string message_id = 1; Money price = 2; }";
    let money = "message Money { int64 cents = 1; }";
    let first = hash(event, money);
    assert_eq!(hash(&format!("// Bought.\n\n{}", event.replace("; ", ";\n")), money), first);
    assert_ne!(hash(&event.replace("= 1", "= 3"), money), first);
    assert_ne!(hash(event, &money.replace("= 1", "= 2")), first);
}

/// Whatever is done to a job file: it is good, or each problem has a line that is there.
#[test]
fn no_job_file_makes_it_panic() {
    let texts: Vec<String> = parts().into_iter().map(|(_, text, _)| text).collect();
    let scraps = ["[", "]", "\"", "=", "{", "}", "\n", "[[", "${", "3", "-", "é", "''", "\u{0}"];
    for seed in 0..3000 {
        let mut random = Seeded(seed);
        let mut text = texts[random.below(texts.len() as u64) as usize].clone();
        for _ in 0..=random.below(3) {
            let ends: Vec<usize> = (0..=text.len()).filter(|&i| text.is_char_boundary(i)).collect();
            let (mut from, mut to) = (random.pick(&ends), random.pick(&ends));
            if from > to || random.once_in(2) {
                (from, to) = (from.min(to), from.min(to));
            }
            let to = to.min(ends.iter().copied().find(|&e| e >= from + 5).unwrap_or(to));
            text.replace_range(from..to.max(from), random.pick(&scraps));
        }
        let job = job(&text);
        for message in said(&job) {
            let at = message.strip_prefix("job.toml:").unwrap_or_else(|| panic!("{message}"));
            if let Some(line) = at.split(':').next().and_then(|l| l.parse::<usize>().ok()) {
                assert!(line >= 1 && line <= text.lines().count() + 1, "{message}\n{text}");
            }
        }
    }
}
