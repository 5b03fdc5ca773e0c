// An NRI plugin for tests, on the upstream stub. It appends each event as a line of JSON to a file, and does what its
// rules say. It is told where both are by its configuration, or by NRI_TEST_CONFIG when it connects by itself:
//
//	{ "log": "/…/events", "rules": "/…/rules.json" }
//
// Rules are read again for each event, so that a test can change them while the plugin runs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

type config struct {
	Log   string `json:"log"`
	Rules string `json:"rules"`
}

// rules apply to containers, or pods, of the name; an empty name is everyone's.
type rules struct {
	Name   string      `json:"name"`
	Adjust *adjustment `json:"adjust"`
	Update []update    `json:"update"`
	Hang   string      `json:"hang"`
	Fail   string      `json:"fail"`
	Die    string      `json:"die"`
	Ask    []update    `json:"ask"`
}

type adjustment struct {
	Env         map[string]string  `json:"env"`
	Annotations map[string]string  `json:"annotations"`
	Mounts      []*api.Mount       `json:"mounts"`
	Devices     []*api.LinuxDevice `json:"devices"`
	CPUShares   uint64             `json:"cpuShares"`
	CDI         []string           `json:"cdi"`
	Poststop    string             `json:"poststop"`
	// Of the protocol, with enums as numbers.
	Linux *api.LinuxContainerAdjustment `json:"linux"`
}

type update struct {
	Container string `json:"container"`
	CPUShares uint64 `json:"cpuShares"`
}

type event struct {
	Event      string   `json:"event"`
	Pod        string   `json:"pod,omitempty"`
	Container  string   `json:"container,omitempty"`
	Name       string   `json:"name,omitempty"`
	State      string   `json:"state,omitempty"`
	ExitCode   int32    `json:"exitCode,omitempty"`
	Pods       []string `json:"pods,omitempty"`
	Containers []string `json:"containers,omitempty"`
	Failed     int      `json:"failed,omitempty"`
}

type plugin struct {
	config
	stub stub.Stub
}

func (p *plugin) note(e event) {
	if p.Log == "" {
		return
	}
	line, _ := json.Marshal(e)
	file, err := os.OpenFile(p.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer file.Close()
	_, _ = file.Write(append(line, '\n'))
}

func (p *plugin) rule(name string) rules {
	var all []rules
	text, err := os.ReadFile(p.Rules)
	if err != nil || json.Unmarshal(text, &all) != nil {
		return rules{}
	}
	for _, each := range all {
		if each.Name == "" || each.Name == name {
			return each
		}
	}
	return rules{}
}

// obey hangs, dies or fails where the rule for this event says so.
func obey(rule rules, event string) error {
	switch event {
	case rule.Hang:
		time.Sleep(time.Hour)
	case rule.Die:
		os.Exit(3)
	case rule.Fail:
		return errors.New("told to fail")
	}
	return nil
}

func (p *plugin) pod(event_ string, pod *api.PodSandbox) error {
	p.note(event{Event: event_, Pod: pod.GetId(), Name: pod.GetName()})
	return obey(p.rule(pod.GetName()), event_)
}

func (p *plugin) container(event_ string, pod *api.PodSandbox, container *api.Container) error {
	p.note(event{
		Event:     event_,
		Pod:       pod.GetId(),
		Container: container.GetId(),
		Name:      container.GetName(),
		State:     container.GetState().String(),
		ExitCode:  container.GetExitCode(),
	})
	return obey(p.rule(container.GetName()), event_)
}

func (p *plugin) Configure(_ context.Context, text, runtime, version string) (api.EventMask, error) {
	if text != "" {
		if err := json.Unmarshal([]byte(text), &p.config); err != nil {
			return 0, err
		}
	}
	p.note(event{Event: "Configure", Name: runtime + " " + version})
	return 0, nil
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	e := event{Event: "Synchronize"}
	for _, pod := range pods {
		e.Pods = append(e.Pods, pod.GetId())
	}
	for _, container := range containers {
		e.Containers = append(e.Containers, container.GetId()+" "+container.GetState().String())
	}
	p.note(e)
	return nil, obey(p.rule(""), "Synchronize")
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("RunPodSandbox", pod)
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("StopPodSandbox", pod)
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("RemovePodSandbox", pod)
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	if err := p.container("CreateContainer", pod, container); err != nil {
		return nil, nil, err
	}
	rule := p.rule(container.GetName())
	return rule.Adjust.message(), updates(rule.Update), nil
}

func (p *plugin) PostCreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.container("PostCreateContainer", pod, container)
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.container("StartContainer", pod, container)
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	err := p.container("PostStartContainer", pod, container)
	if ask := p.rule(container.GetName()).Ask; len(ask) > 0 {
		go func() {
			failed, err := p.stub.UpdateContainers(updates(ask))
			e := event{Event: "UpdateContainers", Failed: len(failed)}
			if err != nil {
				e.Name = err.Error()
			}
			p.note(e)
		}()
	}
	return err
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container, _ *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	return nil, p.container("UpdateContainer", pod, container)
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) ([]*api.ContainerUpdate, error) {
	return nil, p.container("StopContainer", pod, container)
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	return p.container("RemoveContainer", pod, container)
}

func (a *adjustment) message() *api.ContainerAdjustment {
	if a == nil {
		return nil
	}
	result := &api.ContainerAdjustment{Linux: a.Linux}
	for key, value := range a.Env {
		result.AddEnv(key, value)
	}
	for key, value := range a.Annotations {
		result.AddAnnotation(key, value)
	}
	for _, mount := range a.Mounts {
		result.AddMount(mount)
	}
	for _, device := range a.Devices {
		result.AddDevice(device)
	}
	for _, name := range a.CDI {
		result.AddCDIDevice(&api.CDIDevice{Name: name})
	}
	if a.CPUShares != 0 {
		result.SetLinuxCPUShares(a.CPUShares)
	}
	if a.Poststop != "" {
		result.AddHooks(&api.Hooks{Poststop: []*api.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", a.Poststop}}}})
	}
	return result
}

func updates(wanted []update) []*api.ContainerUpdate {
	var result []*api.ContainerUpdate
	for _, each := range wanted {
		one := &api.ContainerUpdate{}
		one.SetContainerId(each.Container)
		one.SetLinuxCPUShares(each.CPUShares)
		result = append(result, one)
	}
	return result
}

func main() {
	p := &plugin{}
	if text := os.Getenv("NRI_TEST_CONFIG"); text != "" {
		if err := json.Unmarshal([]byte(text), &p.config); err != nil {
			panic(err)
		}
	}
	var options []stub.Option
	if socket := os.Getenv("NRI_TEST_SOCKET"); socket != "" {
		index, name, _ := strings.Cut(os.Getenv("NRI_TEST_NAME"), "-")
		options = append(options, stub.WithSocketPath(socket), stub.WithPluginName(name), stub.WithPluginIdx(index))
	}
	s, err := stub.New(p, options...)
	if err != nil {
		panic(err)
	}
	p.stub = s
	if err := s.Run(context.Background()); err != nil {
		p.note(event{Event: "ended", Name: err.Error()})
		os.Exit(1)
	}
}
