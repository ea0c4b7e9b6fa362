//! Every example that is a stack, by the matrix.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use tower_api_key::store::MemoryStore;
use tower_api_key::testing::Matrix;
use tower_api_key::{Access, ApiKeyLayer, KeyRing, Requirement, RouteTable};

#[path = "../../../examples/quickstart.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod quickstart;
#[path = "../../../examples/tonic.rs"]
#[allow(dead_code, reason = "its main serves it")]
mod tonic_services;

#[path = "../../../examples/customers.rs"]
#[allow(dead_code, reason = "its main serves it")]
#[cfg(all(feature = "axum", feature = "serde"))]
mod customers;
#[path = "../../../examples/events.rs"]
#[allow(dead_code, reason = "its main serves it")]
#[cfg(feature = "axum")]
mod events;
#[path = "../../../examples/fastapi_port.rs"]
#[allow(dead_code, reason = "its main serves it")]
#[cfg(feature = "axum")]
mod fastapi_port;
#[path = "../../../examples/monitored.rs"]
#[allow(dead_code, reason = "its main serves it")]
#[cfg(all(
    feature = "axum",
    feature = "metrics",
    feature = "replica",
    feature = "tracing"
))]
mod monitored;
#[path = "../../../examples/axum.rs"]
#[allow(dead_code, reason = "its main serves it")]
#[cfg(feature = "axum")]
mod nested;
#[path = "../../../examples/openapi.rs"]
#[allow(dead_code, reason = "its main serves it")]
#[cfg(all(feature = "axum", feature = "openapi"))]
mod openapi;
#[path = "../../../examples/signup.rs"]
#[allow(dead_code, reason = "its main serves it")]
#[cfg(feature = "axum")]
mod signup;

fn ring(prefix: &str) -> KeyRing {
    KeyRing::builder(prefix).build(MemoryStore::new()).unwrap()
}

#[tokio::test]
async fn the_quickstart() {
    let ring = ring("demo");
    let table = RouteTable::builder()
        .get("/open", Access::Public)
        .get("/public", Access::AnyKey)
        .post("/admin", "write");
    let matrix = Matrix::new(ring.clone(), table.build().unwrap());
    matrix.check(quickstart::app::<()>(&ring)).await.unwrap();
}

/// A call of a method with an empty message, which is five zeros.
fn with_message(request: Request<()>) -> Request<tonic::body::Body> {
    let empty = Full::new(Bytes::from_static(&[0; 5]));
    request.map(|()| tonic::body::Body::new(empty))
}

#[tokio::test]
async fn the_services_of_tonic() {
    let ring = ring("demo");
    let renaming = Requirement::all(["greet", "greet:write"]).unwrap();
    let table = RouteTable::builder()
        .grpc("demo.Greeter", "Greet", "greet")
        .grpc("demo.Greeter", "Rename", renaming)
        .grpc("demo.Admin", "Restart", "admin");
    let matrix = Matrix::new(ring.clone(), table.build().unwrap()).grpc();
    let stack = ApiKeyLayer::new(ring).layer(tonic_services::services());
    matrix.check(stack.map_request(with_message)).await.unwrap();
}

#[cfg(feature = "axum")]
mod on_axum {
    use axum::Router;
    use axum::body::Body;
    use tower_api_key::testing::{MatrixError, Row};

    use super::{Access, KeyRing, Matrix, Requirement, RouteTable, ring};
    use super::{events, fastapi_port, nested, signup};

    async fn check(ring: &KeyRing, table: RouteTable, app: Router) -> Result<usize, MatrixError> {
        let matrix = Matrix::new(ring.clone(), table);
        matrix.check(app.into_service::<Body>()).await
    }

    fn nested_table() -> RouteTable {
        RouteTable::builder()
            .get("/hello", Access::Public)
            .get("/me", Access::AnyKey)
            .get("/orders", "orders:read")
            .post("/orders", "orders:write")
            .get(
                "/admin/audit",
                Requirement::any(["admin", "auditor"]).unwrap(),
            )
            .delete(
                "/admin/orders",
                Requirement::all(["admin", "orders:write"]).unwrap(),
            )
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn the_nested_routers() {
        let ring = ring("shop");
        let app = nested::app(ring.clone()).unwrap();
        check(&ring, nested_table(), app).await.unwrap();
    }

    #[tokio::test]
    async fn a_route_that_was_added_outside_the_layer_is_found() {
        let ring = ring("shop");
        let post = axum::routing::post(async || "posted");
        let app = nested::app(ring.clone()).unwrap().route("/me", post);
        let error = check(&ring, nested_table(), app).await.unwrap_err();
        let [fault] = error.faults() else {
            panic!("{error}")
        };
        assert_eq!(fault.row(), Row::OtherMethod);
        assert_eq!(fault.route(), "GET /me: any key");
    }

    #[tokio::test]
    async fn the_events() {
        let ring = ring("feed");
        let table = RouteTable::builder()
            .get("/stream", "events:read")
            .post("/keys", "admin")
            .delete("/keys/{id}", "admin")
            .post("/keys/{id}/next", "admin");
        let app = events::app(ring.clone());
        check(&ring, table.build().unwrap(), app).await.unwrap();
    }

    #[tokio::test]
    async fn the_port_of_fastapi() {
        let ring = ring("tutorial");
        let table = RouteTable::builder()
            .get("/public", Access::AnyKey)
            .post("/admin", "write")
            .get("/keys/rotate", Access::AnyKey);
        let app = fastapi_port::app(ring.clone());
        check(&ring, table.build().unwrap(), app).await.unwrap();
    }

    #[cfg(all(feature = "metrics", feature = "replica", feature = "tracing"))]
    #[tokio::test]
    async fn the_monitored_service() {
        let ring = ring("shop");
        let both = Requirement::all(["orders:read", "orders:write"]).unwrap();
        let table = RouteTable::builder()
            .get("/metrics", Access::Public)
            .get("/orders", "orders:read")
            .post("/orders", both);
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new();
        let app = super::monitored::app(ring.clone(), metrics.build_recorder().handle());
        check(&ring, table.build().unwrap(), app).await.unwrap();
    }

    #[tokio::test]
    async fn the_signup() {
        let (visitors, customers) = (ring("visitor"), ring("shop"));
        let app = signup::app(signup::Shop {
            visitors: visitors.clone(),
            customers: customers.clone(),
        });
        let of_visitors = RouteTable::builder()
            .post("/visit", Access::Public)
            .post("/login", Access::AnyKey)
            .get("/cart", "cart");
        let of_customers = RouteTable::builder()
            .get("/orders", "orders:read")
            .delete("/account", Access::AnyKey);
        for (ring, table) in [(visitors, of_visitors), (customers, of_customers)] {
            check(&ring, table.build().unwrap(), app.clone())
                .await
                .unwrap();
        }
    }

    /// Without its database, so without the routes that need it.
    #[cfg(feature = "serde")]
    #[tokio::test]
    async fn the_customers() {
        use tower_api_key_postgres::sqlx::PgPool;

        use super::customers;

        let ring = ring("shop");
        let pool = PgPool::connect_lazy("postgres://nobody@localhost/none").unwrap();
        let app = customers::app(customers::Shop {
            pool,
            ring: ring.clone(),
        });
        let table = RouteTable::builder()
            .get("/keys", "keys:manage")
            .delete("/keys/{id}", "keys:manage")
            .get("/orders", "orders:read");
        check(&ring, table.build().unwrap(), app).await.unwrap();
    }
}

#[cfg(all(feature = "axum", feature = "openapi"))]
mod with_a_document {
    use axum::body::Body;
    use tower_api_key::Source;

    use super::{Access, Matrix, Requirement, RouteTable, openapi, ring};
    use crate::support::X_API_KEY;

    #[tokio::test]
    async fn the_document() {
        let ring = ring("shop");
        let (app, _) = openapi::app(ring.clone()).unwrap();
        let cancel = Requirement::all(["orders:write", "orders:cancel"]).unwrap();
        let clear = [Requirement::scope("admin").unwrap(), cancel];
        let table = RouteTable::builder()
            .get("/health", Access::Public)
            .get("/me", Access::AnyKey)
            .get("/orders/{id}", "orders:read")
            .post("/orders", "orders:write")
            .delete("/orders/{id}", Requirement::any(clear).unwrap())
            .get("/openapi.json", Access::Public);
        let places = [Source::header(X_API_KEY).unwrap(), Source::bearer()];
        let matrix = Matrix::new(ring, table.build().unwrap()).sources(places);
        matrix.check(app.into_service::<Body>()).await.unwrap();
    }
}
