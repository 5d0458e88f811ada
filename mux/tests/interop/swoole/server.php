<?php
// A Swoole server in its stream mode (dispatch_mode 7, until Swoole 4.8): it answers a package with two, the
// package in capitals and the same backwards. Whoever asks for it is told its session
// and the descriptor it came in by.
[, $port] = $argv;
$server = new Swoole\Server('127.0.0.1', (int) $port, SWOOLE_PROCESS);
$server->set([
    'dispatch_mode' => 7,
    'worker_num' => 2,
    'reactor_num' => 1,
    'log_level' => SWOOLE_LOG_WARNING,
    'open_length_check' => true,
    'package_length_type' => 'N',
    'package_length_offset' => 0,
    'package_body_offset' => 4,
]);
$server->on('start', function (Swoole\Server $server) {
    echo "listening on /tmp/swoole.{$server->master_pid}.sock\n";
});
$server->on('receive', function (Swoole\Server $server, int $fd, int $reactor, string $data) {
    $body = substr($data, 4);
    if ($body === 'session') {
        $server->send($fd, pack('NJn', 10, $fd, $server->getClientInfo($fd)['server_fd']));
        return;
    }
    foreach ([strtoupper($body), strrev($body)] as $answer) {
        $server->send($fd, pack('N', strlen($answer)) . $answer);
    }
});
$server->start();
