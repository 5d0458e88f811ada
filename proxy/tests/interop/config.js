'use strict';
// The proxy's configuration for these checks: one Bolt listener, one cluster of the given hosts.

module.exports = function config(listen, hosts) {
  return {
    servers: [{
      routers: [{
        router_config_name: 'interop',
        virtual_hosts: [{
          name: 'all',
          domains: [ '*' ],
          routers: [{
            match: { headers: [{ name: 'service', value: '.*' }] },
            route: { cluster_name: 'echo', timeout: '30s' },
          }],
        }],
      }],
      listeners: [{
        name: 'bolt',
        address: listen,
        bind_port: true,
        filter_chains: [{
          filters: [{
            type: 'proxy',
            config: {
              downstream_protocol: 'bolt',
              upstream_protocol: 'bolt',
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
