use std::collections::VecDeque;

use http_body_util::Full;

fn is_body<B: http_body::Body>(_: B) {}

fn main() {
    is_body(tower_api_key::ResponseBody::new(Full::new(VecDeque::from([1_u8]))));
}
