//! A gateway of one worker before one upstream, in the default build: `gateway_proxy LISTEN UPSTREAM`, as in
//! `gateway_proxy 127.0.0.1:8080 127.0.0.1:9000`.
//! It is what `benches/gateway-vs-nginx.sh` measures.

use std::error::Error;

use shop_gateway::{Gateway, GatewayConfig, RouteConfig, Server, UpstreamConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(endpoint)) = (args.next(), args.next()) else {
        return Err("usage: gateway_proxy LISTEN UPSTREAM".into());
    };
    let mut config =
        GatewayConfig { routes: vec![RouteConfig::new("/", "upstream")], ..GatewayConfig::default() };
    config.gateway.listen = vec![listen.parse()?];
    config.gateway.workers = 1;
    config
        .upstreams
        .insert("upstream".to_owned(), UpstreamConfig { endpoints: vec![endpoint], ..Default::default() });

    let plan = Gateway::builder(config).plan()?;
    let server = Server::bind(plan.listen_config())?.start(&plan)?;
    println!("listening on {}", server.local_addrs()[0]);
    loop {
        std::thread::park();
    }
}
