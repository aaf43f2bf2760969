//! `serve`, asked over a real socket: who gets an answer, and what it says.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tests::{program, run};

const BEGUN: &str = r#"{"name":"rest","version":"1","host":"n","pid":1,"since":0,"lock":"lock","stages":["encode"],"repetitions":1,"scans":[{"subject":"01"},{"subject":"02"}]}"#;

/// The folder of a run with pages and a volume, and a file beside it that is none of the run's.
struct Run {
    dir: TempDir,
}

impl Run {
    fn new() -> Self {
        let run = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(run.path().join("figures")).unwrap();
        fs::create_dir_all(run.path().join("model")).unwrap();
        let page = pages::CohortPage { title: "rest <1>".to_owned(), ..Default::default() };
        for (name, html) in page.pages() {
            fs::write(run.path().join(name), html).unwrap();
        }
        fs::write(run.path().join("figures/mean.nii.gz"), volume()).unwrap();
        fs::write(run.path().join("model/model.yaml"), "weights").unwrap();
        fs::write(run.path().join("record.json"), r#"{"format":1,"files":{"index.html":""}}"#)
            .unwrap();
        fs::write(
            run.path().join("journal.jsonl"),
            format!("{BEGUN}\n{{\"at\":9.0,\"ended\":\"done\"}}\n"),
        )
        .unwrap();
        fs::write(run.dir.path().join("secret.txt"), "secret").unwrap();
        symlink(run.dir.path().join("secret.txt"), run.path().join("link.txt")).unwrap();
        run
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("run")
    }
}

/// Larger than what is read at once.
fn volume() -> Vec<u8> {
    (0..700_001_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A server of the program, ended with the value.
struct Server {
    child: Child,
    /// `127.0.0.1:PORT`.
    host: String,
    token: String,
    /// The path of everything else, and the cookie that opens it.
    base: String,
    cookie: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn new(dir: &Path) -> Self {
        let mut command = Command::new(program());
        command.arg("serve").arg(dir).stdin(Stdio::null());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let rest = line.trim_end().strip_prefix("http://").expect("one line with the address");
        let (host, token) = rest.split_once("/?token=").expect("a token");
        let (host, token) = (host.to_owned(), token.to_owned());
        let mut server = Self { child, host, token, base: String::new(), cookie: String::new() };
        let entry = server.get(&format!("/?token={}", server.token), &[]);
        assert_eq!(entry.status, 200);
        // a browser goes on from a sandbox without the cookie
        assert!(!entry.header("content-security-policy").unwrap().contains("sandbox"));
        let base = entry.header("refresh").unwrap().strip_prefix("0; url=").unwrap();
        server.base.push_str(base);
        let cookie = entry.header("set-cookie").unwrap();
        assert!(cookie.ends_with(&format!("; Path={}; HttpOnly; SameSite=Strict", server.base)));
        server.cookie.push_str(cookie.split(';').next().unwrap());
        server
    }

    /// Sends these bytes, and reads until the server closes.
    fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.open();
        // a server that refuses early may not read all
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::of(&answer)
    }

    fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.host).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut lines = vec![format!("{method} {path} HTTP/1.1"), "Connection: close".to_owned()];
        if !headers.iter().any(|it| it.starts_with("Host:")) {
            lines.push(format!("Host: {}", self.host));
        }
        lines.extend(headers.iter().map(|it| (*it).to_owned()));
        self.send((lines.join("\r\n") + "\r\n\r\n").as_bytes())
    }

    /// A file below the run's folder, or another page, with the cookie.
    fn get(&self, path: &str, headers: &[&str]) -> Answer {
        let cookie = format!("Cookie: {}", self.cookie);
        self.ask("GET", &self.at(path), &[&[cookie.as_str()], headers].concat())
    }

    fn at(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}{path}", self.base) }
    }
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("a head");
        let head = str::from_utf8(&bytes[..end]).unwrap();
        let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = rest.split("\r\n").filter_map(|it| it.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Self { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

#[test]
fn the_printed_address_leads_to_pages_that_may_run_our_script_alone() {
    let run = Run::new();
    let server = Server::new(&run.path());
    let first = server.get("", &[]);
    assert_eq!(
        (first.status, first.header("location")),
        (303, Some(&*server.at("run/index.html")))
    );
    let page = server.get("run/index.html", &[]);
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    let script = format!("script-src http://{}{}assets/pages.js ", server.host, server.base);
    assert!(policy.starts_with("default-src 'none'; ") && policy.contains(&script), "{policy}");
    assert!(policy.contains("style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    let html = page.text();
    assert!(html.contains("<h1>rest &lt;1&gt;</h1>"));
    // the page's own policy lets no script in, and what it says of files is not true here
    assert!(!html.contains("http-equiv") && !html.contains("Opened as a file"));
    let source = format!(
        "<script defer src=\"{}assets/pages.js\" data-base=\"{0}\" data-written=",
        server.base
    );
    assert_eq!(html.matches("<script").count(), 1);
    assert!(html.contains(&source), "{html}");
    let script = server.get("assets/pages.js", &[]);
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(script.text().contains("EventSource"));
    for (name, content_type, n_bytes) in [
        ("niivue.umd.js", "text/javascript; charset=utf-8", 2_284_381),
        ("uPlot.iife.min.js", "text/javascript; charset=utf-8", 51_081),
        ("uPlot.min.css", "text/css; charset=utf-8", 1_857),
    ] {
        let asset = server.get(&format!("assets/{name}"), &[]);
        assert_eq!((asset.status, asset.header("content-type")), (200, Some(content_type)));
        assert_eq!(asset.body.len(), n_bytes, "{name}");
        assert!(policy.contains(&format!("{}assets/{name}", server.base)), "{policy}");
    }
    assert_eq!(server.get("assets/nothing.js", &[]).status, 404);
    let record = server.get("run/record.json", &[]);
    assert_eq!(record.header("content-type"), Some("application/json"));
    assert!(record.header("content-security-policy").unwrap().ends_with("sandbox"));
    for answer in [&first, &page, &record] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let status = server.get("status", &[]).text();
    assert!(status.contains("rest: finished") && status.contains("run/index.html"), "{status}");
}

#[test]
fn nobody_else_gets_an_answer() {
    let run = Run::new();
    let server = Server::new(&run.path());
    let page = server.at("run/index.html");
    let cookie = format!("Cookie: {}", server.cookie);
    assert_eq!(server.ask("GET", &page, &[&cookie]).status, 200);
    // without a cookie, or with another
    for headers in [&[][..], &["Cookie: neuroflamingo=0"]] {
        for path in [page.as_str(), &server.at("events"), &server.at("nowhere"), "/", "/?token=0"] {
            let refused = server.ask("GET", path, headers);
            assert_eq!(refused.status, 403, "{path}");
            assert!(!refused.text().contains("rest"));
            assert_eq!(refused.header("set-cookie"), None);
        }
    }
    let port = server.host.split_once(':').unwrap().1;
    let rebound = format!("Host: evil.example:{port}");
    for wrong in [
        // a name that now leads to this machine
        rebound.as_str(),
        "Host: evil.example",
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
    ] {
        assert_eq!(server.ask("GET", &page, &[&cookie, wrong]).status, 403, "{wrong}");
    }
    let same = format!("Origin: http://{}", server.host);
    assert_eq!(server.ask("GET", &page, &[&cookie, &same]).status, 200);
    let localhost = format!("Host: localhost:{port}");
    assert_eq!(server.ask("GET", &page, &[&cookie, &localhost]).status, 200);
    assert_eq!(server.ask("GET", &format!("/?token={}", server.token), &[&rebound]).status, 403);
    let without_host = format!("GET {page} HTTP/1.0\r\n{cookie}\r\n\r\n");
    assert_eq!(server.send(without_host.as_bytes()).status, 403);
}

#[test]
fn nothing_outside_the_run_and_nothing_hidden_is_shown() {
    let run = Run::new();
    fs::write(run.path().join(".hidden.html"), "hidden").unwrap();
    let server = Server::new(&run.path());
    for path in [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "figures/../../secret.txt",
        "..%5csecret.txt",
        "/secret.txt",
        "%2fetc%2fpasswd",
        "link.txt",
        ".hidden.html",
        "model/model.yaml",
        "journal.jsonl",
        "figures",
        "",
        "index.html%00.txt",
    ] {
        let answer = server.get(&format!("run/{path}"), &[]);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.text(), "There is no such file in this run.\n");
    }
    // an escape inside a name is one of the name
    assert_eq!(server.get("run/index%2ehtml", &[]).status, 200);
}

#[test]
fn a_volume_is_read_by_ranges() {
    let run = Run::new();
    let server = Server::new(&run.path());
    let path = "run/figures/mean.nii.gz";
    let whole = server.get(path, &[]);
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("application/gzip")));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("content-encoding"), None);
    assert!(whole.body == volume());
    let part = server.get(path, &["Range: bytes=300000-699999"]);
    assert_eq!((part.status, part.header("content-length")), (206, Some("400000")));
    assert_eq!(part.header("content-range"), Some("bytes 300000-699999/700001"));
    assert!(part.body == volume()[300_000..700_000]);
    assert!(server.get(path, &["Range: bytes=-3"]).body == volume()[699_998..]);
    let beyond = server.get(path, &["Range: bytes=700001-"]);
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */700001")));
    let cookie = format!("Cookie: {}", server.cookie);
    let head = server.ask("HEAD", &server.at(path), &[&cookie]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("700001")));
    assert_eq!(head.body.len(), 0);
}

#[test]
fn oversized_and_broken_requests_are_refused() {
    let run = Run::new();
    let server = Server::new(&run.path());
    let (page, cookie) = (server.at("run/index.html"), format!("Cookie: {}", server.cookie));
    assert_eq!(server.ask("POST", &page, &["Content-Length: 99999999"]).status, 403);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = server.ask(method, &page, &[&cookie]);
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let with_body = server.ask("GET", &page, &[&cookie, "Content-Length: 99999999"]);
    assert_eq!(with_body.status, 413);
    assert_eq!(server.ask("GET", &page, &[&cookie, "Transfer-Encoding: chunked"]).status, 413);
    assert_eq!(server.get(&format!("run/{}", "a".repeat(5000)), &[]).status, 414);
    let long = format!("X-Long: {}", "a".repeat(100_000));
    assert_eq!(server.ask("GET", &page, &[&cookie, &long]).status, 431);
    let line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    assert!([414, 431].contains(&server.send(line.as_bytes()).status));
    let many: Vec<String> = (0..200).map(|it| format!("X-{it}: a")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(server.ask("GET", &page, &many).status, 431);
    assert_eq!(server.send(b"\x16\x03\x01 nonsense\r\n\r\n").status, 400);
    // and it still answers
    assert_eq!(server.get("run/index.html", &[]).status, 200);
}

#[test]
fn a_run_that_goes_on_tells_how_it_stands() {
    let run = Run::new();
    fs::remove_file(run.path().join("index.html")).unwrap();
    fs::remove_file(run.path().join("record.json")).unwrap();
    let journal = run.path().join("journal.jsonl");
    let running = format!("{BEGUN}\n{{\"at\":1.0,\"stage\":\"encode\",\"is\":\"running\"}}\n");
    fs::write(&journal, &running).unwrap();
    let server = Server::new(&run.path());
    assert_eq!(server.get("", &[]).header("location"), Some(&*server.at("status")));
    let page = server.get("status", &[]).text();
    assert!(page.contains("rest: stopped") && page.contains("no pages yet"), "{page}");
    let stream = server.open();
    let (path, host, cookie) = (server.at("events"), &server.host, &server.cookie);
    write!(&stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(|it| it.expect("it goes on"));
    let mut next = || {
        let data = lines.find(|it| it.starts_with("data: ")).expect("an event");
        serde_json::from_str::<serde_json::Value>(&data[6..]).unwrap()
    };
    let words = |event: serde_json::Value| event["words"].as_str().unwrap().to_owned();
    let first = next();
    assert_eq!(first["since"], "1970-01-01T00:00:00Z");
    assert!(words(first).contains("rest: stopped"));
    let done = r#"{"at":2.0,"stage":"encode","unit":0,"is":"done"}"#;
    fs::write(&journal, format!("{running}{done}\n")).unwrap();
    let seen = words(next());
    let encode = seen.lines().find(|it| it.starts_with("encode")).unwrap();
    assert_eq!(encode.split_whitespace().collect::<Vec<_>>(), ["encode", "1", "0", "0", "-"]);
    fs::write(&journal, format!("{running}{{\"at\":9.0,\"ended\":\"failed\"}}\n")).unwrap();
    assert!(words(next()).contains("rest: ended with an error"));
}

#[test]
fn connections_without_a_token_keep_nobody_out() {
    let run = Run::new();
    let server = Server::new(&run.path());
    let (host, cookie) = (&server.host, &server.cookie);
    // one that has passed the gate, and more strangers than there are places
    let ours = server.open();
    let page = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n",
        server.at("run/record.json")
    );
    let ask_again = || {
        (&ours).write_all(page.as_bytes()).unwrap();
        let mut answer = [0; 12];
        (&ours).read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        let mut rest = Vec::new();
        let mut bytes = BufReader::new(&ours).bytes();
        while !rest.ends_with(br#"{"format":1,"files":{"index.html":""}}"#) {
            rest.push(bytes.next().expect("the whole file").unwrap());
        }
    };
    ask_again();
    let strangers: Vec<TcpStream> = (0..200).map(|_| server.open()).collect();
    let began = Instant::now();
    assert_eq!(server.get("run/index.html", &[]).status, 200);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    ask_again();
    // the strangers are closed soon, those that are left of them too
    for mut stranger in strangers {
        assert!(!stranger.read(&mut [0]).is_ok_and(|n| n > 0));
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    ask_again();
    // and who is refused is closed at once
    let began = Instant::now();
    let refused = server.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    assert_eq!((refused.status, refused.header("connection")), (403, Some("close")));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn ctrl_c_ends_it_well() {
    let run = Run::new();
    for signal in ["INT", "TERM"] {
        let mut server = Server::new(&run.path());
        // an open connection keeps it from nothing
        let _open = server.open();
        let kill = format!("kill -s {signal} {}", server.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn what_cannot_be_served_is_said_in_a_sentence() {
    let folder = Run::new();
    let path = folder.path().display().to_string();
    let server = Server::new(&folder.path());
    let port = server.host.split_once(':').unwrap().1;
    let taken = run(&["serve", &path, "--port", port]).exits_with(2);
    let expected = format!(
        "error: port {port} is taken: expected a free one, or no --port for any that is free\n"
    );
    assert_eq!((taken.stdout.as_str(), taken.stderr.as_str()), ("", expected.as_str()));
    for (dir, problem) in [
        (folder.path().join("figures"), "holds no run, expected the folder of a run, as runs/NAME"),
        (folder.path().join("none"), "is no folder, expected the folder of a run, as runs/NAME"),
        (
            folder.path().join("index.html"),
            "is no folder, expected the folder of a run, as runs/NAME",
        ),
    ] {
        let refused = run(&["serve", &dir.display().to_string()]).exits_with(2);
        assert!(refused.stderr.ends_with(&format!(": {problem}\n")), "{refused}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
    }
    fs::write(folder.path().join("record.json"), r#"{"format":9}"#).unwrap();
    let other = run(&["serve", &path]).exits_with(2);
    assert!(other.stderr.contains("found format 9, expected 1: another version"), "{other}");
}
