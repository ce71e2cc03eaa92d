// Starts `probrun lsp` for .prob files. Without the client library (npm install) or without probrun there are still colours.
"use strict";

const vscode = require("vscode");

let client;

async function start() {
  let library;
  try {
    library = require("vscode-languageclient/node");
  } catch {
    vscode.window.showWarningMessage("probrun: packed without vscode-languageclient, so there are colours only (see the README).");
    return;
  }
  const [command, ...args] = vscode.workspace.getConfiguration("probrun").get("command", ["probrun", "lsp"]);
  const server = { command, args, transport: library.TransportKind.stdio };
  client = new library.LanguageClient("probrun", "probrun", server, { documentSelector: [{ language: "prob" }] });
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    vscode.window.showWarningMessage(
      `probrun: ${command} did not start (${error.message}). Install it with: pip install "probrun[lsp]", or set probrun.command.`
    );
  }
}

async function stop() {
  const running = client;
  client = undefined;
  if (running) {
    await running.stop();
  }
}

async function activate(context) {
  const restart = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("probrun.restart", restart),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("probrun.command")) {
        restart();
      }
    })
  );
  await start();
}

module.exports = { activate, deactivate: stop };
