//! `docs/short-scans.md`: every file of it is written, every command of it run, every answer compared.

use std::fs;

use tables::{Cell, Table};
use tests::{N_PEOPLE, Ran, ShortScans, fenced, root, words};

/// The encoders of the page with the windows that a scan of its cohort has.
const WINDOWS: [(&str, i64); 5] =
    [("cortexmae", 18), ("brain-semantoks", 1), ("brainlm", 2), ("brain-jepa", 1), ("swift", 8)];

fn page() -> String {
    fs::read_to_string(root().join("docs/short-scans.md")).expect("a page")
}

/// The cohort with the page's files, whose volumes have fewer voxels than those of the page.
fn walked() -> ShortScans {
    let cohort = ShortScans::new();
    for text in fenced(&page(), "yaml") {
        let name = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let name = name.expect("a file begins with its name");
        cohort.write(name, &text.replace("[91, 109, 91]", "[11, 29, 11]"));
    }
    cohort
}

/// A line without the sizes of the network, which are published ones on the page and tiny ones here.
fn sized(line: &str) -> String {
    let words = line.split(' ').collect::<Vec<_>>();
    let is_size = |at: usize| {
        let next = words.get(at + 1).copied().unwrap_or_default();
        ["parameters", "numbers"].contains(&next) && words[at].parse::<usize>().is_ok()
    };
    let all = (0..words.len()).map(|at| if is_size(at) { "N" } else { words[at] });
    all.collect::<Vec<_>>().join(" ")
}

/// What is wrong with an answer on the page: each of its lines is one of what the program said, in their
/// order.
fn problem(answer: &[&str], ran: &Ran) -> Option<String> {
    let is_refused = answer.iter().any(|line| line.starts_with("error: "));
    let expected = if is_refused { 2 } else { 0 };
    if ran.code != Some(expected) {
        return Some(format!("it exits with {:?}, expected {expected}", ran.code));
    }
    let said = format!("{}{}", ran.stdout, ran.stderr);
    let mut lines = said.lines().map(sized);
    let mut shown = answer.iter().filter(|line| !line.is_empty() && **line != "…").peekable();
    if shown.peek().is_none() {
        return Some("the page says nothing".to_owned());
    }
    let missing = shown.find(|line| !lines.any(|it| it == sized(line)))?;
    Some(format!("it does not say {missing:?}"))
}

#[test]
fn the_page_says_what_the_program_says() {
    let cohort = walked();
    let mut problems = Vec::new();
    let mut n_refused = 0;
    for block in fenced(&page(), "console") {
        for part in block.split("$ neuroflamingo ").skip(1) {
            let (command, answer) = part.split_once('\n').expect("a line");
            let ran = cohort.run(&words(command));
            n_refused += usize::from(ran.code == Some(2));
            if let Some(problem) = problem(&answer.lines().collect::<Vec<_>>(), &ran) {
                problems.push(format!("{command}\n{problem}\n{ran}\n"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.concat());
    assert_eq!(n_refused, 6);
}

#[test]
fn every_encoder_of_the_page_embeds_the_cohort() {
    let cohort = walked();
    for (name, n_windows) in WINDOWS {
        let model = format!("model.encoder={{file: ../models/{name}/encoder.yaml}}");
        let stages = format!("stages={{file: ../stages/{name}.yaml}}");
        let sets = [model, stages, format!("name={name}")];
        let sets = sets.iter().flat_map(|set| ["--set", set]).map(str::to_owned);
        let run = ["run", "pipelines/rest.yaml"].map(str::to_owned).into_iter();
        let ran = cohort.run(&run.chain(sets).collect::<Vec<_>>()).exits_with(0);
        let table = cohort.dir().join("runs").join(name).join("embeddings.parquet");
        let table = tables::read(table).expect("a table of embeddings");
        assert_eq!(table.n_rows(), N_PEOPLE, "{name}: {ran}");
        for row in 0..N_PEOPLE {
            let found = cell(&table, "n_windows", row);
            assert!(matches!(found, Cell::Integer(n) if n == n_windows), "{name}: {found:?}");
            let Cell::Vector(vector) = cell(&table, "embedding", row) else { panic!("{name}") };
            assert!(vector.iter().all(|x| x.is_finite()), "{name}");
            assert!(vector.iter().any(|x| x.abs() > 1e-3), "{name}: zeros");
        }
        let [first, second] = [0, 1].map(|row| cell(&table, "embedding", row));
        assert_ne!(format!("{first:?}"), format!("{second:?}"), "{name} sees no difference");
    }
}

fn cell<'a>(table: &'a Table, column: &str, row: usize) -> Cell<'a> {
    table.column(column).expect(column).cell(row)
}
