//! Headers of every response of the console.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::AppendHeaders,
};

/// The content security policy: content from this origin only, no inline scripts or styles, and no frame around the
/// page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/// The security headers of every response.
pub(super) fn strict() -> AppendHeaders<[(HeaderName, HeaderValue); 5]> {
    AppendHeaders([
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ])
}
