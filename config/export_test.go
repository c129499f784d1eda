package config

// FolderDir is what the fuzzer of folders needs.
var FolderDir = folderDir
