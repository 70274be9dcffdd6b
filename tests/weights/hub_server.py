"""A small Hugging Face hub on loopback: the few addresses that its client asks, and the ways in which a hub fails."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = ('.safetensors', '.bin')  # go the way of LFS


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def blob_id(data):
    return hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest()


class Hub:
    """The repositories, and what goes wrong.

    Attributes:
        commits: (repository, commit) -> name -> content; ``branches``: (repository, branch) -> commit.
        requests: Method, path and Range header of everything that was asked.
        cut: Name -> how many of its next transfers break off in the middle.
        spoilt: Names whose bytes are not those that were promised, the next so many times.
        refused: Repository -> status and error code of the hub.
        failing: Whether every answer is an error 503.
    """

    def __init__(self):
        self.commits, self.branches, self.large = {}, {}, {}
        self.requests, self.cut, self.spoilt, self.refused, self.failing = [], {}, {}, {}, False

    def add(self, repository, files, branch='main'):
        commit = hashlib.sha1(f'{repository} {sorted(files)} {len(self.commits)}'.encode()).hexdigest()
        self.commits[repository, commit] = dict(files)
        self.branches[repository, branch] = commit
        return commit

    def add_folder(self, repository, folder, **options):
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        return self.add(repository, files, **options)

    def files_of(self, repository, branch='main'):
        return self.commits[repository, self.branches[repository, branch]]

    def gets(self, name):
        return [spread for method, path, spread in self.requests if method == 'GET' and path.endswith(f'/{name}')]


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *arguments):
        pass

    def answer(self, status, data=b'', **headers):
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in ({'content_length': len(body)} | headers).items():
            self.send_header(name.replace('_', '-').title(), str(value))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(body)

    def handle_one(self):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        hub.requests.append((self.command, path, self.headers.get('Range')))
        if hub.failing:
            return self.answer(503)
        for repository, (status, code) in hub.refused.items():
            if repository in path:
                return self.answer(status, x_error_code=code)
        for pattern, work in ROUTES:
            if (found := re.fullmatch(pattern, path)) is not None:
                return work(self, body, *found.groups())
        return self.answer(404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one

    def commit_of(self, repository, revision):
        hub = self.server.hub
        if not any(one == repository for one, _ in hub.commits):
            self.answer(404, x_error_code='RepoNotFound')
            return None
        commit = hub.branches.get((repository, revision), revision)
        if (repository, commit) not in hub.commits:
            self.answer(404, x_error_code='RevisionNotFound')
            return None
        return commit

    def info(self, body, repository, revision=None):
        if (commit := self.commit_of(repository, revision or 'main')) is not None:
            siblings = []
            for name, data in self.server.hub.commits[repository, commit].items():
                row = dict(rfilename=name, size=len(data), blobId=blob_id(data))
                if name.endswith(LARGE):
                    row['lfs'] = dict(sha256=sha256(data), size=len(data), pointerSize=130)
                siblings.append(row)
            self.answer(200, dict(id=repository, modelId=repository, sha=commit, siblings=siblings))

    def resolve(self, body, repository, revision, name):
        hub = self.server.hub
        if (commit := self.commit_of(repository, revision)) is None:
            return
        if name not in hub.commits[repository, commit]:
            self.answer(404, x_error_code='EntryNotFound', x_repo_commit=commit)
            return
        data = hub.commits[repository, commit][name]
        about = dict(x_repo_commit=commit, etag=f'"{sha256(data) if name.endswith(LARGE) else blob_id(data)}"')
        start = int((re.match(r'bytes=(\d+)-', self.headers.get('Range') or 'bytes=0-'))[1])
        if self.command == 'HEAD':
            self.answer(200, content_length=len(data), accept_ranges='bytes', **about)
            return
        if hub.spoilt.get(name, 0) > 0:
            hub.spoilt[name] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        if start:
            about['content_range'] = f'bytes {start}-{len(data) - 1}/{len(data)}'
        if hub.cut.get(name, 0) > 0:
            hub.cut[name] -= 1
            self.send_response(206 if start else 200)
            for key, value in dict(about, content_length=len(data) - start).items():
                self.send_header(key.replace('_', '-').title(), str(value))
            self.end_headers()
            self.wfile.write(data[start : start + (len(data) - start) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.answer(206 if start else 200, data[start:], **about)

    def create(self, body):
        options = json.loads(body)
        repository = '/'.join(filter(None, (options.get('organization') or 'me', options['name'])))
        if (repository, 'main') not in self.server.hub.branches:
            self.server.hub.add(repository, {})
        self.answer(200, dict(url=f'{self.server.url}/{repository}', id=repository, name=repository))

    def preupload(self, body, repository, revision):
        files = [
            dict(path=file['path'], uploadMode='lfs' if file['path'].endswith(LARGE) else 'regular', shouldIgnore=False)
            for file in json.loads(body)['files']
        ]
        self.answer(200, dict(files=files))

    def batch(self, body, repository):
        objects = [
            dict(one, actions=dict(upload=dict(href=f'{self.server.url}/large/{one["oid"]}')))
            for one in json.loads(body)['objects']
        ]
        self.answer(200, dict(transfer='basic', objects=objects))

    def put(self, body, oid):
        assert sha256(body) == oid
        self.server.hub.large[oid] = body
        self.answer(200)

    def commit(self, body, repository, revision):
        hub, files = self.server.hub, dict(self.server.hub.files_of(repository, revision))
        for line in body.splitlines():
            entry = json.loads(line)
            if entry['key'] == 'file':
                files[entry['value']['path']] = base64.b64decode(entry['value']['content'])
            elif entry['key'] == 'lfsFile':
                files[entry['value']['path']] = hub.large[entry['value']['oid']]
        commit = hub.add(repository, files, branch=revision)
        address = f'{self.server.url}/{repository}/commit/{commit}'
        self.answer(200, dict(success=True, commitOid=commit, commitUrl=address, hookOutput=''))


NAME = r'([\w.-]+/[\w.-]+)'
ROUTES = (
    (r'/api/repos/create', Handler.create),
    (r'/api/validate-yaml', lambda self, body: self.answer(200, dict(errors=[], warnings=[]))),
    (rf'/api/models/{NAME}/preupload/([^/]+)', Handler.preupload),
    (rf'/api/models/{NAME}/commit/([^/]+)', Handler.commit),
    (rf'/api/models/{NAME}/revision/(.+)', Handler.info),
    (rf'/api/models/{NAME}', Handler.info),
    (rf'/{NAME}\.git/info/lfs/objects/batch', Handler.batch),
    (r'/large/(\w+)', Handler.put),
    (rf'/{NAME}/resolve/([^/]+)/(.+)', Handler.resolve),
)


def serve(hub):
    """Start a server of a hub; it has ``url``."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.daemon_threads = True
    server.hub, server.url = hub, f'http://127.0.0.1:{server.server_address[1]}'
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
