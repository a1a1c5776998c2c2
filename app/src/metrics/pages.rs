//! What is answered to which request.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use metrics::Form;

use super::health;
use super::scrapes::{Scrapes, Sources};

type Answer = Response<Full<Bytes>>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PAGES: &str = "srpt-app\n\n/metrics  for Prometheus, in its text form or OpenMetrics', as the header Accept asks\n/healthz  whether the process goes on\n/readyz   whether initiators are served\n";

/// Answers one request; what comes with it in a body is not looked at.
pub(super) async fn answer<B>(request: Request<B>, sources: &Sources, scrapes: &Scrapes) -> Result<Answer, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are served\n".into());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(answer);
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(form(request.headers()), sources, scrapes).await,
        "/healthz" => state(health::health(sources).await),
        "/readyz" => state(health::readiness(sources).await),
        "/" => text(StatusCode::OK, PAGES.into()),
        _ => text(StatusCode::NOT_FOUND, PAGES.into()),
    })
}

async fn metrics(form: Form, sources: &Sources, scrapes: &Scrapes) -> Answer {
    match scrapes.text(sources, form).await {
        Ok(body) => with_type(StatusCode::OK, HeaderValue::from_static(form.content_type()), body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn state(state: Result<(), String>) -> Answer {
    match state {
        Ok(()) => text(StatusCode::OK, "ok\n".into()),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Answer {
    with_type(status, TEXT, body.into())
}

fn with_type(status: StatusCode, kind: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// OpenMetrics if the client asks for it at least as much as for anything else (RFC 9110, 12.5.1).
fn form(headers: &HeaderMap) -> Form {
    let ranges =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let (mut open_metrics, mut others) = (0.0_f32, 0.0_f32);
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let value = |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| *it);
        let quality = value("q").and_then(|q| q.trim().parse::<f32>().ok()).unwrap_or(1.0);
        if !kind.eq_ignore_ascii_case("application/openmetrics-text") {
            others = others.max(quality);
        } else if value("version").is_none_or(|version| matches!(version.trim_matches('"'), "1.0.0" | "0.0.1")) {
            open_metrics = open_metrics.max(quality);
        }
    }
    if open_metrics > 0.0 && open_metrics >= others { Form::OpenMetrics } else { Form::Prometheus }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_the_client_asks_for_most() {
        let form_of = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            form(&headers)
        };
        assert_eq!(form(&HeaderMap::new()), Form::Prometheus);
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=\"1.0.0\"; q=0.5, text/plain; q=0.5",
            "Application/OpenMetrics-Text",
        ] {
            assert_eq!(form_of(accept), Form::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=9.9.9,text/plain;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.4,text/plain;q=0.5",
            ";;q=x,,=",
        ] {
            assert_eq!(form_of(accept), Form::Prometheus, "{accept}");
        }
    }
}
