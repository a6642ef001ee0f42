//! The table of routes.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{Door, guard::guard, jobs, metrics, openapi, problem::Problem, stream};

/// The router behind all doors.
pub fn router(door: &Door) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics::show))
        .route("/v1/openapi.json", get(openapi::show))
        .route("/v1/capabilities", get(jobs::capabilities))
        .route("/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/v1/jobs/{id}", get(jobs::show).delete(jobs::cancel))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/stream", get(stream::show))
        .route("/v1/shutdown", post(jobs::shutdown))
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "there is no such route").hint("GET /v1/openapi.json lists them")
        })
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not take this method")
        })
        .layer(middleware::from_fn(guard))
        .layer(middleware::map_response_with_state(door.clone(), finish))
        .with_state(door.clone())
}

/// Says that it is there, and nothing else.
async fn health() -> &'static str {
    "ok"
}

/// What all answers have in common.
async fn finish(State(door): State<Door>, response: Response) -> Response {
    door.0.meters.answered(response.status());
    let kept = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (kept, response).into_response()
}
