//! Who may ask for what.
//!
//! Any page that a browser has open, and any user of this machine, can reach a loopback port. So a request must
//! name this server as its host (a name that was rebound to this address does not), come from no other origin,
//! and carry the cookie that only the printed address hands out. The cookie is bound to a path that nobody can
//! guess: cookies know no ports, and another server of this machine is not sent it.
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{self, HeaderName},
};

/// Longer addresses are refused.
const MOST_ADDRESS: usize = 4096;
const COOKIE: &str = "neuroflamingo";
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The printed address: the cookie, and the way to the first page.
    Entry,
    /// The first page.
    First,
    /// How the run stands.
    Status,
    /// The same, as it changes.
    Events,
    /// A script or style of ours.
    Asset(String),
    /// A file of the run folder, its path without escapes.
    File(String),
}

/// Why an answer is refused, as one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) &'static str);

pub(crate) const NOT_FOUND: Refused =
    Refused(StatusCode::NOT_FOUND, "There is no such file in this run.");
const NO_TOKEN: Refused =
    Refused(StatusCode::FORBIDDEN, "Open the address that neuroflamingo serve has printed.");

/// What a server of one start knows and nobody else does.
pub(crate) struct Gate {
    port: u16,
    token: String,
    folder: String,
    session: String,
}

impl Gate {
    pub(crate) fn new(port: u16) -> Result<Self, getrandom::Error> {
        Ok(Self { port, token: random()?, folder: random()?, session: random()? })
    }

    /// What is printed.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    /// The path of everything but the entry, with a `/` at both ends.
    pub(crate) fn base(&self) -> String {
        format!("/{}/", self.folder)
    }

    pub(crate) fn cookie(&self) -> String {
        format!("{COOKIE}={}; Path={}; HttpOnly; SameSite=Strict", self.session, self.base())
    }

    /// What a request asks for, if it may.
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<Asked, Refused> {
        let (uri, headers) = (request.uri(), request.headers());
        let host = only(headers, &header::HOST).filter(|host| self.is_ours(host));
        // a whole address in place of a path is for proxies
        let Some(host) = host.filter(|_| uri.authority().is_none()) else {
            let sentence = "This server answers to 127.0.0.1 and localhost with its port alone.";
            return Err(Refused(StatusCode::FORBIDDEN, sentence));
        };
        let is_own = |origin: &str| origin.strip_prefix("http://") == Some(host);
        if headers.contains_key(header::ORIGIN)
            && !only(headers, &header::ORIGIN).is_some_and(is_own)
        {
            return Err(Refused(StatusCode::FORBIDDEN, "Pages of other origins get no answer."));
        }
        // whoever has no token learns nothing else of a request
        let path = self.path(request)?;
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered."));
        }
        let has_body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get_all(header::CONTENT_LENGTH).iter().any(|it| it != "0");
        if has_body {
            return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, "A request may have no body."));
        }
        if uri.path().len() + uri.query().map_or(0, str::len) > MOST_ADDRESS {
            return Err(Refused(StatusCode::URI_TOO_LONG, "The address is too long."));
        }
        path.map_or(Ok(Asked::Entry), asked)
    }

    /// The part of the address behind [`Gate::base`], of a request that has the cookie; `None` for the entry, of
    /// one that has the token.
    fn path<'a, B>(&self, request: &'a Request<B>) -> Result<Option<&'a str>, Refused> {
        let (uri, headers) = (request.uri(), request.headers());
        if uri.path() == "/" {
            let token = uri.query().and_then(|it| it.strip_prefix("token="));
            let is_ours = token.is_some_and(|it| is_same(it, &self.token));
            return if is_ours { Ok(None) } else { Err(NO_TOKEN) };
        }
        let path = uri.path().strip_prefix(&self.base()).ok_or(NO_TOKEN)?;
        let is_from_here = |site: &str| matches!(site, "same-origin" | "none");
        if !self.has_cookie(headers)
            || headers.get_all(SITE).iter().any(|it| !it.to_str().is_ok_and(is_from_here))
        {
            return Err(NO_TOKEN);
        }
        Ok(Some(path))
    }

    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        ["127.0.0.1", "localhost"].contains(&name) && port == self.port.to_string()
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
        let mut pairs =
            cookies.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
        pairs.any(|(name, value)| name == COOKIE && is_same(value, &self.session))
    }
}

/// What the part of an address behind [`Gate::base`] names.
fn asked(path: &str) -> Result<Asked, Refused> {
    match path.split_once('/') {
        None if path.is_empty() => Ok(Asked::First),
        None if path == "status" => Ok(Asked::Status),
        None if path == "events" => Ok(Asked::Events),
        Some(("assets", name)) => Ok(Asked::Asset(name.to_owned())),
        Some(("run", path)) => {
            let path = percent_encoding::percent_decode_str(path).decode_utf8();
            path.map(|path| Asked::File(path.into_owned())).map_err(|_| NOT_FOUND)
        }
        _ => Err(NOT_FOUND),
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}

/// Takes as long wherever two texts of a length differ.
fn is_same(a: &str, b: &str) -> bool {
    let differ = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differ == 0
}

/// 128 bits that nobody can guess, in hexadecimal digits.
fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let text = str::to_owned;
        Gate { port: 8417, token: text("t0k"), folder: text("f01"), session: text("5e5") }
    }

    /// A request that is admitted, with some headers changed or added.
    fn ask(path: &str, changed: &[(&str, &str)]) -> Result<Asked, StatusCode> {
        let mut request = Request::get(path).body(()).unwrap();
        let usual = [("host", "127.0.0.1:8417"), ("cookie", "other=1; neuroflamingo=5e5")];
        for (name, value) in usual.iter().chain(changed) {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        gate().admit(&request).map_err(|it| it.0)
    }

    const FORBIDDEN: Result<Asked, StatusCode> = Err(StatusCode::FORBIDDEN);

    #[test]
    fn what_is_asked_for_is_told_by_the_path() {
        assert_eq!(ask("/?token=t0k", &[]), Ok(Asked::Entry));
        assert_eq!(ask("/f01/", &[]), Ok(Asked::First));
        assert_eq!(ask("/f01/status", &[]), Ok(Asked::Status));
        assert_eq!(ask("/f01/events", &[]), Ok(Asked::Events));
        assert_eq!(ask("/f01/assets/pages.js", &[]), Ok(Asked::Asset("pages.js".to_owned())));
        assert_eq!(ask("/f01/run/a/b%20c.html?x", &[]), Ok(Asked::File("a/b c.html".to_owned())));
        assert_eq!(ask("/f01/run/%2e%2e%2fa", &[]), Ok(Asked::File("../a".to_owned())));
        for path in ["/f01/run", "/f01/else", "/f01/run/%ff", "/f01//"] {
            assert_eq!(ask(path, &[]), Err(StatusCode::NOT_FOUND), "{path}");
        }
    }

    #[test]
    fn without_token_and_cookie_nothing_is_told() {
        for path in ["/", "/?token=", "/?token=t0", "/?token=t0kk", "/?token=5e5", "/index.html"] {
            assert_eq!(ask(path, &[]), FORBIDDEN, "{path}");
        }
        for cookie in ["", "neuroflamingo=t0k", "neuroflamingo=", "x=5e5", "5e5"] {
            assert_eq!(ask("/f01/", &[("cookie", cookie)]), FORBIDDEN, "{cookie}");
            assert_eq!(ask("/f01/nowhere", &[("cookie", cookie)]), FORBIDDEN, "{cookie}");
            assert_eq!(ask("/?token=t0k", &[("cookie", cookie)]), Ok(Asked::Entry));
        }
    }

    #[test]
    fn other_hosts_and_origins_are_refused() {
        assert_eq!(ask("/f01/", &[("host", "localhost:8417")]), Ok(Asked::First));
        for host in [
            "127.0.0.1",
            "127.0.0.1:8418",
            "127.0.0.1:08417",
            "evil.example",
            "evil.example:8417",
            "localhost.evil.example:8417",
            "[::1]:8417",
            "127.0.0.1:8417:8417",
            "user@127.0.0.1:8417",
        ] {
            assert_eq!(ask("/f01/", &[("host", host)]), FORBIDDEN, "{host}");
            assert_eq!(ask("/?token=t0k", &[("host", host)]), FORBIDDEN, "{host}");
        }
        assert_eq!(ask("/f01/", &[("origin", "http://127.0.0.1:8417")]), Ok(Asked::First));
        for origin in [
            "null",
            "http://evil.example",
            "http://127.0.0.1:8888",
            "https://127.0.0.1:8417",
            // another name of this server, of a page that was opened under the first
            "http://localhost:8417",
        ] {
            assert_eq!(ask("/f01/", &[("origin", origin)]), FORBIDDEN, "{origin}");
            assert_eq!(ask("/?token=t0k", &[("origin", origin)]), FORBIDDEN, "{origin}");
        }
        let twice = Request::get("/f01/").header("host", "127.0.0.1:8417");
        let twice = twice.header("host", "evil.example").header("cookie", "neuroflamingo=5e5");
        assert_eq!(gate().admit(&twice.body(()).unwrap()).unwrap_err().0, StatusCode::FORBIDDEN);
        assert_eq!(ask("http://127.0.0.1:8417/f01/", &[]), FORBIDDEN);
    }

    #[test]
    fn what_other_pages_embed_is_refused() {
        for (site, answer) in [
            ("same-origin", Ok(Asked::First)),
            ("none", Ok(Asked::First)),
            ("same-site", FORBIDDEN),
            ("cross-site", FORBIDDEN),
        ] {
            assert_eq!(ask("/f01/", &[("sec-fetch-site", site)]), answer, "{site}");
        }
        // the printed address may be opened from anywhere: it carries the token
        assert_eq!(ask("/?token=t0k", &[("sec-fetch-site", "cross-site")]), Ok(Asked::Entry));
    }

    #[test]
    fn methods_bodies_and_long_addresses_are_refused() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH"] {
            let request = Request::builder().method(method).uri("/f01/");
            let request = request.header("host", "127.0.0.1:8417");
            let request = request.header("cookie", "neuroflamingo=5e5").body(()).unwrap();
            let refused = gate().admit(&request).unwrap_err();
            assert_eq!(refused.0, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        }
        assert_eq!(ask("/f01/", &[("content-length", "0")]), Ok(Asked::First));
        let too_large = Err(StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(ask("/f01/", &[("content-length", "1")]), too_large);
        assert_eq!(ask("/f01/", &[("transfer-encoding", "chunked")]), too_large);
        let long = format!("/f01/run/{}", "a".repeat(MOST_ADDRESS));
        assert_eq!(ask(&long, &[]), Err(StatusCode::URI_TOO_LONG));
    }

    #[test]
    fn without_a_token_no_other_rule_is_told() {
        for path in ["/f01/", "/?token=0", "/", &format!("/f01/run/{}", "a".repeat(MOST_ADDRESS))] {
            assert_eq!(ask(path, &[("cookie", ""), ("content-length", "9")]), FORBIDDEN, "{path}");
            let request = Request::post(path).header("host", "127.0.0.1:8417").body(()).unwrap();
            assert_eq!(gate().admit(&request).unwrap_err().0, StatusCode::FORBIDDEN, "{path}");
        }
    }

    #[test]
    fn every_start_has_its_own_secrets() {
        let (a, b) = (Gate::new(1).unwrap(), Gate::new(1).unwrap());
        let secrets = |it: &Gate| [it.token.clone(), it.folder.clone(), it.session.clone()];
        let mut all = [secrets(&a), secrets(&b)].concat();
        assert!(all.iter().all(|it| it.len() == 32));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
        assert!(a.cookie().ends_with("; HttpOnly; SameSite=Strict"));
    }
}
