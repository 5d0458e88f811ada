'use strict';
// The proxy's configuration for these checks: one listener, one cluster of the given hosts.

// What every call of a protocol names.
const NAMED = { bolt: 'service', dubbo: 'service', thrift: 'method' };

module.exports = function config(listen, hosts, protocol) {
  const headers = protocol in NAMED ? [{ name: NAMED[protocol], value: '.*' }] : [];
  return {
    servers: [{
      routers: [{
        router_config_name: 'interop',
        virtual_hosts: [{
          name: 'all',
          domains: [ '*' ],
          routers: [{
            match: { headers },
            route: { cluster_name: 'echo', timeout: '30s' },
          }],
        }],
      }],
      listeners: [{
        name: 'interop',
        address: listen,
        bind_port: true,
        filter_chains: [{
          filters: [{
            type: 'proxy',
            config: {
              downstream_protocol: protocol,
              upstream_protocol: protocol,
              router_config_name: 'interop',
            },
          }],
        }],
      }],
    }],
    cluster_manager: {
      clusters: [{
        name: 'echo',
        type: 'SIMPLE',
        lb_type: 'LB_ROUNDROBIN',
        hosts: hosts.map(address => ({ address })),
      }],
    },
  };
};
